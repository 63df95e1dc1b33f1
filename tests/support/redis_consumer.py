"""A consumer straight on the transport, without Celery: for tests of the transport alone."""

from __future__ import annotations

import contextlib
from typing import Any, Self

import kombu
import redis

from shared.celery_app import broker_url
from shared.celery_message import write_message
from shared.queues import ORDER_TASK, orders_queue

QUEUE = orders_queue("n1")


def message(number: int) -> bytes:
    """Return a Celery message whose task id is ``number``."""
    return write_message(ORDER_TASK, str(number), [{"number": number}], QUEUE)


class Consumer:
    """Receives from ``QUEUE`` with a prefetch of one, and keeps what it was given. Use it as a context manager."""

    def __init__(self, url: str, *, acknowledge: bool = True, **options: object) -> None:
        self.got: list[str] = []
        self.messages: list[Any] = []
        self.acknowledge = acknowledge
        self.connection = kombu.Connection(broker_url(url), transport_options={"polling_interval": 1, **options})
        self.channel: Any = self.connection.channel()
        queue = kombu.Queue(QUEUE, kombu.Exchange(""), QUEUE, no_declare=True)
        consumer = kombu.Consumer(self.channel, [queue], on_message=self._receive, prefetch_count=1)
        consumer.qos(prefetch_count=1)
        consumer.consume()

    def _receive(self, received: Any) -> None:
        self.got.append(received.headers["id"])
        self.messages.append(received)
        if self.acknowledge:
            received.ack()

    def drain(self, count: int) -> list[str]:
        """Receive until ``count`` messages have come in all, or nothing for two seconds; return their ids."""
        with contextlib.suppress(TimeoutError):
            while len(self.got) < count:
                self.connection.drain_events(timeout=2)
        return self.got

    def close(self) -> None:
        """Close the connection as a worker does that ends in good order."""
        self.connection.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lists(client: redis.Redis) -> dict[str, int]:
    """Return the lengths of all lists that there are, by what follows the queue's name."""
    names = [key.decode() for key in client.keys("*") if isinstance(key, bytes)]
    return {name.removeprefix(QUEUE): int(client.llen(name)) for name in names}
