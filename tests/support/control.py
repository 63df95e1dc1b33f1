"""The controller's dispatch and ingest on a real store and a real Redis, with time in the test's hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.dispatch import Dispatcher, Leases
from controller.inbox import Inbox
from controller.ingest import Ingest
from controller.metrics import Metrics
from controller.outbound import Outbound
from controller.rollout.model import FleetNode, OrderDraft
from controller.store.store import Store
from shared.celery_app import controller_app, decode_message, push_events, redis_client
from shared.messages import Event, Order
from shared.queues import EVENTS_QUEUE, orders_queue
from shared.signing import Signer, open_order, public_to_text
from shared.states import OrderKind
from tests.support.rollouts import NOW, UPDATE

LEASES = Leases(
    claim=timedelta(seconds=5), first=timedelta(seconds=30), longest=timedelta(seconds=100), silence=timedelta(hours=1)
)


@dataclass
class Control:
    """Both loops' parts. ``now`` is moved by the test."""

    store: Store
    redis_url: str
    now: datetime = NOW
    woken: int = 0  #: times that ingest has woken the engine
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    node_keys: dict[str, Ed25519PrivateKey] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)

    @cached_property
    def redis(self) -> Any:
        """A client of the test's own."""
        return redis_client(self.redis_url)

    @cached_property
    def dispatcher(self) -> Dispatcher:
        """The dispatcher under test."""
        outbound = Outbound(
            controller_app(self.redis_url), redis_client(self.redis_url), Signer("controller", self.key)
        )
        return Dispatcher(self.store, outbound, clock=lambda: self.now, metrics=self.metrics, leases=LEASES)

    @cached_property
    def ingest(self) -> Ingest:
        """The ingester under test."""
        return self.another_ingest()

    def another_ingest(self) -> Ingest:
        """Return one more ingester, as a second process would have it."""
        inbox = Inbox(redis_client(self.redis_url))
        return Ingest(
            self.store, inbox, clock=lambda: self.now, wake=self._wake, metrics=self.metrics, silence=LEASES.silence
        )

    def _wake(self) -> None:
        self.woken += 1

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def register(self, *node_ids: str) -> None:
        """Register nodes, each with an event key of its own."""
        with self.store.transaction() as tx:
            for node_id in node_ids:
                key = self.node_keys.setdefault(node_id, Ed25519PrivateKey.generate())
                tx.nodes.register(FleetNode(id=node_id, event_key=public_to_text(key.public_key())), self.now)

    def order(self, order_id: str, node_id: str, *, expires_at: datetime | None = None) -> None:
        """Commit an update order."""
        draft = OrderDraft(id=order_id, kind=OrderKind.UPDATE, node_id=node_id, update=UPDATE, expires_at=expires_at)
        with self.store.transaction() as tx:
            tx.orders.add([draft], self.now)

    def queued(self, node_id: str) -> Sequence[Order]:
        """Return the orders in a node's queue, next one first, their signatures checked."""
        messages = self.redis.lrange(orders_queue(node_id), 0, -1)[::-1]
        return [open_order(decode_message(raw)[0], self.key.public_key()) for raw in messages]

    def push(self, *events: Event, signer: Signer | None = None) -> None:
        """Push events as their nodes do."""
        sealed = [
            (event.id, (signer or Signer(event.node_id, self.node_keys[event.node_id])).seal(event)) for event in events
        ]
        push_events(self.redis, sealed)

    def pushed(self) -> int:
        """Return how many messages lie in the events' list."""
        return int(self.redis.llen(EVENTS_QUEUE))

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a counter."""
        return self.metrics.registry.get_sample_value(f"matic_{name}_total", labels) or 0.0
