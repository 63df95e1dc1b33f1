"""The Redis end of dispatch: which orders still lie in their nodes' queues, and putting new ones there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from celery import Celery

from shared.celery_app import publish_orders
from shared.celery_message import read_message
from shared.errors import EnvelopeError, TransportError
from shared.messages import Order
from shared.queues import orders_queue, work_list
from shared.signing import Signer

#: What the key of a queue may be; an empty list is no key at all.
_QUEUE_TYPES = {b"list", b"none"}


class Outbound:
    """Nodes' queues as dispatch sees them. Every method raises ``TransportError`` when Redis cannot be reached."""

    def __init__(self, app: Celery, client: redis.Redis, signer: Signer) -> None:
        self._app = app
        self._redis: Any = client  # redis-py types every answer as "maybe awaitable"
        self._signer = signer

    def blocked(self, orders: Sequence[Order]) -> set[str]:
        """Return the ids of those orders whose node's queue is not a queue: another program uses its key.

        That is this one node's trouble; Redis would refuse the others' orders of the same pipeline with it.
        """
        keys = {o.node_id: (orders_queue(o.node_id), work_list(orders_queue(o.node_id))) for o in orders}
        with _reaching("look at node queues"), self._redis.pipeline(transaction=False) as pipe:
            for key in (key for both in keys.values() for key in both):
                pipe.type(key)
            types = iter(pipe.execute())
        spoilt = {node for node, both in keys.items() if not {next(types) for _ in both} <= _QUEUE_TYPES}
        return {order.id for order in orders if order.node_id in spoilt}

    def waiting(self, orders: Sequence[Order]) -> set[str]:
        """Return the ids of those orders that lie in their node's queue, or in its hands, at this moment.

        A node that is off for days then finds each order once, not once for every lease.
        """
        nodes = sorted({order.node_id for order in orders})
        with _reaching("look into node queues"), self._redis.pipeline(transaction=False) as pipe:
            for node_id in nodes:
                queue = orders_queue(node_id)
                pipe.lrange(queue, 0, -1).lrange(work_list(queue), 0, -1)
            found = pipe.execute()
        present = {_task_id(raw) for messages in found for raw in messages}
        return {order.id for order in orders} & present

    def publish(self, orders: Sequence[Order]) -> None:
        """Sign the orders and put each on its node's queue, in the order given."""
        publish_orders(self._app, [(order.node_id, order.id, self._signer.seal(order)) for order in orders])


@contextmanager
def _reaching(what: str) -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise TransportError(f"cannot {what}: {error}", cure="check redis_url, and that Redis runs") from error


def _task_id(raw: bytes) -> str:
    try:
        return str(read_message(raw)["headers"]["id"])
    except EnvelopeError:
        return ""  # not ours; the node puts it aside
