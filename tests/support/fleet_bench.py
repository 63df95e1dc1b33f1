"""Fleet, engine and the database part of ingest on a real store, with time in the test's hand; no Redis.

Nodes are played by the test: it takes their orders as dispatch would, and reports as ingest would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.engine import Engine
from controller.fleet import Fleet
from controller.ingest import Changes
from controller.rollout.model import OrderRow, Policy, Rollout, Target
from controller.rollout.selection import ALL, Selection
from controller.store.audit import AuditEntry
from controller.store.nodes import Contact
from controller.store.store import Store
from shared.messages import Event, NodeFacts, Order, UpdateSpec
from shared.signing import public_to_text
from shared.slots import Slot
from shared.states import EventKind, OrderKind, ScheduleState
from tests.support.rollouts import NOW, UPDATE

SILENCE = timedelta(seconds=600)
LEASE = timedelta(seconds=30)
ALICE = "user:alice"
EVENT_KEY = public_to_text(Ed25519PrivateKey.generate().public_key())


@dataclass
class Bench:
    """A controller without its network."""

    store: Store
    now: datetime = NOW
    woken: int = 0
    dispatched: int = 0
    seqs: Any = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.fleet = Fleet(self.store, clock=lambda: self.now, wake=self._wake)
        self.engine = self.another_engine()

    def another_engine(self) -> Engine:
        """Return one more engine, as a second process would have it."""
        return Engine(
            self.store, clock=lambda: self.now, dispatch=self._dispatch, lease=timedelta(seconds=15), tick=1.0
        )

    def _wake(self) -> None:
        self.woken += 1

    def _dispatch(self) -> None:
        self.dispatched += 1

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def register(self, *node_ids: str, **labels: str) -> None:
        """Register nodes with labels."""
        for node_id in node_ids:
            self.fleet.register_node(node_id, labels=labels, address="", event_key=EVENT_KEY, actor=ALICE)

    def create(self, policy: Policy | None = None, update: UpdateSpec = UPDATE, **values: Any) -> Rollout:
        """Create a rollout over all nodes."""
        given: dict[str, Any] = {"name": "two", "selection": ALL, "idempotency_key": "", "actor": ALICE} | values
        return self.fleet.create_rollout(update=update, policy=policy or Policy(), **given)

    def schedule(self, *node_ids: str, update: UpdateSpec = UPDATE) -> Rollout:
        """Send an update straight to nodes."""
        return self.fleet.schedule_update(Selection(nodes=node_ids), update, idempotency_key="", actor=ALICE)

    def due(self) -> Sequence[OrderRow]:
        """Take what is due from the outbox, as dispatch does."""
        with self.store.transaction() as tx:
            rows = tx.orders.claim(self.now, self.now + LEASE, nodes=1000)
        with self.store.transaction() as tx:
            tx.orders.published({row.order.id: self.now + LEASE for row in rows}, self.now)
        return rows

    def orders(self, kind: OrderKind | None = None) -> list[Order]:
        """Take the orders that are due, of one kind if it is given."""
        return [row.order for row in self.due() if kind in (None, row.order.kind)]

    def said(self, node_id: str, kind: EventKind, **values: Any) -> Event:
        """Return a node's event about none of its orders."""
        seq = next(self.seqs)
        return Event(kind=kind, node_id=node_id, id=f"event-{seq}", seq=seq, at=self.now, **values)

    def say(self, order: Order | Target, kind: EventKind, **values: Any) -> Event:
        """Return a node's event about an order, or about the order of a turn."""
        order_id = order.id if isinstance(order, Order) else order.order_id
        return self.said(order.node_id, kind, order_id=order_id, **values)

    def ends(self, order: Order | Target, state: ScheduleState = ScheduleState.COMPLETED, **values: Any) -> Event:
        """Return the outcome of an order."""
        return self.say(order, EventKind.OUTCOME, state=state, **values)

    def report(self, *events: Event) -> None:
        """Take events in, as ingest does once they are verified."""
        with self.store.transaction() as tx:
            Changes(tx, self.now, SILENCE).apply(tx.events.add_new(events, self.now))

    def runs(self, node_id: str, version: str) -> None:
        """Let a node say which version it runs."""
        facts = NodeFacts(slot=Slot.A, version=version, boot_id="b", agent_version="0.1.0", good_slots=(Slot.A,))
        with self.store.transaction() as tx:
            tx.nodes.heard([Contact(node_id=node_id, seen_at=self.now, seqs=(), facts=facts)])

    def rollout(self, rollout_id: str) -> Rollout:
        """Return a rollout as stored."""
        return self.fleet.rollout(rollout_id)

    def audit(self, action: str) -> Sequence[AuditEntry]:
        """Return the audit entries of one action, newest first."""
        with self.store.snapshot() as tx:
            return tx.audit.list(action=action)
