"""The controller's side of the queues, as far as a test of one node needs it: signed orders out, events in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shared.celery_app import controller_app, decode_message, publish_orders, redis_client
from shared.messages import Event, Order, UpdateSpec
from shared.pki import DevelopmentCa
from shared.queues import EVENTS_QUEUE
from shared.signing import Signer, claimed_sender, open_event, private_from_pem, public_from_text
from shared.states import EventKind, OrderKind


class FleetOrders:
    """Sends orders to one node as the controller would, and reads what it reported."""

    def __init__(self, redis_url: str, ca: DevelopmentCa, node_id: str = "node-1") -> None:
        """Speak for the controller of ``ca`` to the node ``node_id``, whose certificate it has issued."""
        self._app = controller_app(redis_url)
        self._redis = redis_client(redis_url)
        self._signer = Signer("controller", private_from_pem((ca.folder / "orders.key").read_bytes()))
        self._node_key = public_from_text((ca.folder_of("node", node_id) / "events.pub").read_text())
        self._node_id = node_id
        self._seq = 0

    def send(self, kind: OrderKind, order_id: str, update: UpdateSpec | None = None, **fields: Any) -> Order:
        """Sign and publish one order with the next number."""
        self._seq += 1
        order = Order(
            id=order_id,
            kind=kind,
            node_id=self._node_id,
            seq=self._seq,
            issued_at=datetime.now(UTC),
            update=update,
            **fields,
        )
        self.publish(order)
        return order

    def publish(self, order: Order) -> None:
        """Publish an order, perhaps again."""
        publish_orders(self._app, [(self._node_id, order.id, self._signer.seal(order))])

    def events(self) -> list[Event]:
        """Return the node's events that have arrived, the oldest first; they stay where they are."""
        raw: list[Any] = self._redis.lrange(EVENTS_QUEUE, 0, -1)  # bytes; the stubs know text as well
        envelopes = (decode_message(message)[0] for message in reversed(raw))
        return [open_event(e, self._node_key) for e in envelopes if claimed_sender(e) == self._node_id]

    def outcomes(self, order_id: str) -> list[Event]:
        """Return the outcomes reported for one order."""
        return [e for e in self.events() if e.kind is EventKind.OUTCOME and e.order_id == order_id]
