"""The Redis end of ingest: events leave the list only after they are in the database.

A batch is *read* from the old end of the list, committed elsewhere, and then *removed* message by message, by its
bytes. A crash anywhere in between leaves the messages where they are; they come again and are known by their ids.
The lease keeps two ingesters from doing the same work; should both believe to hold it, nothing is lost or counted
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.exceptions import LockError

from shared.errors import TransportError
from shared.queues import EVENTS_QUEUE, dead_list

#: Holds the name of the only ingester that works at the moment.
LEASE_KEY = f"{EVENTS_QUEUE}:ingester"
#: Messages kept on the dead list; beyond it the oldest goes.
DEAD_LIMIT = 1000


class Inbox:
    """The events' list. Every method raises ``TransportError`` when Redis cannot be reached.

    Args:
        client: a connection pool whose ``socket_timeout`` is longer than any ``wait``.
        lease: seconds that an ingester's right to work lasts, unless renewed.
    """

    def __init__(self, client: redis.Redis, *, lease: float = 15.0) -> None:
        self._redis: Any = client  # redis-py types every answer as "maybe awaitable"
        # Not thread-local: the thread that ends an ingester need not be the one that ran it.
        self._lease = client.lock(LEASE_KEY, timeout=lease, blocking=False, thread_local=False)

    def hold(self) -> bool:
        """Take or renew the lease; False while another ingester holds it."""
        with _reaching("take the ingest lease"):
            try:
                return bool(self._lease.reacquire())
            except LockError:  # ours has lapsed, or never was
                return bool(self._lease.acquire())

    def release(self) -> None:
        """Give the lease back, if it is ours."""
        with _reaching("give back the ingest lease"):
            try:
                self._lease.release()
            except LockError:
                return

    def wait(self, seconds: float) -> bool:
        """Return True as soon as there is an event, False after ``seconds`` without one.

        BLMOVE from the right end to the right end of the same list waits without taking anything away.
        """
        with _reaching("wait for events"):
            return self._redis.blmove(EVENTS_QUEUE, EVENTS_QUEUE, seconds, "RIGHT", "RIGHT") is not None

    def read(self, limit: int) -> Sequence[bytes]:
        """Return the oldest messages, oldest first; they stay in the list."""
        with _reaching("read events"):
            found: list[bytes] = self._redis.lrange(EVENTS_QUEUE, -limit, -1)
        return found[::-1]

    def remove(self, messages: Sequence[bytes]) -> None:
        """Take committed messages off the list. By value: what another ingester has removed already stays removed."""
        self._pipeline(lambda pipe: [pipe.lrem(EVENTS_QUEUE, -1, raw) for raw in messages])

    def bury(self, message: bytes) -> None:
        """Move a message that the database cannot hold to the dead list, for people to look at."""
        dead = dead_list(EVENTS_QUEUE)
        self._pipeline(
            lambda pipe: [
                pipe.lrem(EVENTS_QUEUE, -1, message),
                pipe.rpush(dead, message),
                pipe.ltrim(dead, -DEAD_LIMIT, -1),
            ]
        )

    def _pipeline(self, fill: Callable[[Any], object]) -> None:
        with _reaching("remove events"), self._redis.pipeline(transaction=True) as pipe:
            fill(pipe)
            pipe.execute()


@contextmanager
def _reaching(what: str) -> Iterator[None]:
    try:
        yield
    except LockError:
        raise
    except redis.RedisError as error:
        raise TransportError(f"cannot {what}: {error}", cure="check redis_url, and that Redis runs") from error
