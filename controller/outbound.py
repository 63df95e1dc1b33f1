"""The Redis end of dispatch: which orders still lie in their nodes' queues, and putting new ones there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from celery import Celery

from shared.celery_app import publish_orders
from shared.celery_message import read_message
from shared.errors import EnvelopeError, TransportError
from shared.messages import Order
from shared.queues import orders_queue, work_list
from shared.signing import Signer


class Outbound:
    """Nodes' queues as dispatch sees them. Every method raises ``TransportError`` when Redis cannot be reached."""

    def __init__(self, app: Celery, client: redis.Redis, signer: Signer) -> None:
        self._app = app
        self._redis: Any = client  # redis-py types every answer as "maybe awaitable"
        self._signer = signer

    def waiting(self, orders: Sequence[Order]) -> set[str]:
        """Return the ids of those orders that lie in their node's queue, or in its hands, at this moment.

        A node that is off for days then finds each order once, not once for every lease.
        """
        nodes = sorted({order.node_id for order in orders})
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for node_id in nodes:
                    queue = orders_queue(node_id)
                    pipe.lrange(queue, 0, -1).lrange(work_list(queue), 0, -1)
                found = pipe.execute()
        except redis.RedisError as error:
            raise TransportError(
                f"cannot look into node queues: {error}", cure="check redis_url, and that Redis runs"
            ) from error
        present = {_task_id(raw) for messages in found for raw in messages}
        return {order.id for order in orders} & present

    def publish(self, orders: Sequence[Order]) -> None:
        """Sign the orders and put each on its node's queue, in the order given."""
        publish_orders(self._app, [(order.node_id, order.id, self._signer.seal(order)) for order in orders])


def _task_id(raw: bytes) -> str:
    try:
        return str(read_message(raw)["headers"]["id"])
    except EnvelopeError:
        return ""  # not ours; the node puts it aside
