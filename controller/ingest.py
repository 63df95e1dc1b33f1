"""Nodes' events into the database: verified, each once, one transaction a batch.

Rules:
- Nothing is believed before its signature is: the key is the one that the node was registered with.
- An event changes only turns, orders and history of the node that signed it.
- A message that cannot be accepted is counted, put in the audit trail (bounded, against floods) and dropped.
- A message that breaks the transaction alone goes to the dead list; the others of its batch are not held up by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from controller.inbox import Inbox
from controller.metrics import Metrics
from controller.rollout.model import OrderRow, Target
from controller.rollout.progress import apply_event, apply_to_order
from controller.store.nodes import Contact
from controller.store.store import Store, Transaction
from controller.store.targets import Change
from shared.celery_message import decode_message
from shared.errors import ConflictError, EnvelopeError, FleetError, NotAllowedError, TransportError
from shared.messages import Event
from shared.signing import claimed_sender, open_event, public_from_text
from shared.states import EventKind, OrderKind, ScheduleState

log = structlog.get_logger(__name__)

#: Messages in one transaction: beyond a few hundred a batch gains nothing and holds SQLite's lock for longer.
BATCH = 500
#: Refusals that go to the audit trail per hour; the others are only counted and logged.
AUDITED_REFUSALS = 100
#: Characters of a refusal's reason that are kept.
LONGEST_REASON = 500
#: Seconds that one step waits for events, and between two looks whether the other ingester is gone.
IDLE_SECONDS = 1.0
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Refusal:
    """A message that was not accepted."""

    sender: str  #: as claimed; "" if it claims nobody
    error: FleetError


class Ingest:
    """Takes events from the inbox to the store.

    Args:
        store: where events, and what follows from them, are kept.
        inbox: where they come from.
        clock: returns the present, aware.
        wake: called after a commit that holds something new, so that the engine looks at once.
        metrics: counters.
        silence: how long an accepted order may be silent before it is asked about again.
    """

    def __init__(  # noqa: PLR0913 - it joins six parts, and is built in one place
        self,
        store: Store,
        inbox: Inbox,
        *,
        clock: Callable[[], datetime],
        wake: Callable[[], None],
        metrics: Metrics,
        silence: timedelta,
    ) -> None:
        self._store = store
        self._inbox = inbox
        self._clock = clock
        self._wake = wake
        self._metrics = metrics
        self._silence = silence

    def step(self) -> float:
        """Take one batch, or wait a moment for it; return the seconds to pause before the next step.

        Raises:
            TransportError: Redis or the database cannot be reached; nothing is lost.
            ConflictError: another transaction won a race; the batch is still there.
        """
        if not self._inbox.hold():
            return IDLE_SECONDS
        if self._inbox.wait(IDLE_SECONDS) and (batch := self._inbox.read(BATCH)):
            self._take(batch)
        return 0.0

    def release(self) -> None:
        """Let another ingester take over at once.

        Raises:
            TransportError: Redis cannot be reached; the lease then lapses by itself.
        """
        self._inbox.release()

    def _take(self, batch: Sequence[bytes]) -> None:
        try:
            with self._metrics.ingest_seconds.time():
                self._commit(batch)
        except (TransportError, ConflictError):
            raise
        except Exception as error:
            if len(batch) == 1:
                log.exception("event cannot be stored, moved to the dead list")
                self._metrics.events_refused.labels(getattr(error, "kind", "internal")).inc()
                self._inbox.bury(batch[0])
                return
            for message in batch:
                self._take([message])
            return
        self._inbox.remove(batch)

    def _commit(self, batch: Sequence[bytes]) -> None:
        events, refusals = self._open(batch)
        now = self._clock()
        with self._store.transaction() as tx:
            fresh = tx.events.add_new(events, now)
            Changes(tx, now, self._silence).apply(fresh)
            tx.nodes.heard(_contacts(fresh, now))
            self._record(tx, refusals, now)
            if fresh:
                tx.after_commit(self._wake)
        self._metrics.events_repeated.inc(len(events) - len(fresh))
        for event in fresh:
            self._metrics.events.labels(event.kind).inc()

    def _open(self, batch: Sequence[bytes]) -> tuple[list[Event], list[Refusal]]:
        envelopes: list[tuple[str, object]] = []
        refusals: list[Refusal] = []
        for message in batch:
            try:
                envelopes.append(_envelope(message))
            except EnvelopeError as error:
                refusals.append(Refusal("", error))
        with self._store.snapshot() as tx:
            keys = tx.nodes.event_keys({sender for sender, _ in envelopes})
        events: list[Event] = []
        for sender, envelope in envelopes:
            try:
                events.append(_verified(sender, envelope, keys.get(sender)))
            except FleetError as error:
                refusals.append(Refusal(sender, error))
        return events, refusals

    def _record(self, tx: Transaction, refusals: Sequence[Refusal], now: datetime) -> None:
        room = AUDITED_REFUSALS - tx.audit.count("event.refuse", now - _HOUR) if refusals else 0
        for number, refusal in enumerate(refusals):
            self._metrics.events_refused.labels(refusal.error.kind).inc()
            said = refusal.error.message[:LONGEST_REASON]  # it may quote what came, and anybody can send a megabyte
            log.warning("event refused", node_id=refusal.sender, kind=refusal.error.kind, reason=said)
            if number < room:
                reason = f"{refusal.error.kind}: {said}"
                tx.audit.add(at=now, actor="ingest", action="event.refuse", subject=refusal.sender, reason=reason)


class Changes:
    """What a batch of new events does to turns, orders and history; loaded once, written once."""

    def __init__(self, tx: Transaction, now: datetime, silence: timedelta) -> None:
        self._tx = tx
        self._now = now
        self._silence = silence

    def apply(self, events: Sequence[Event]) -> None:
        """Apply the events, in the order given."""
        named = [event for event in events if event.order_id]
        self._apply_to_targets(named)
        self._apply_to_orders(named)
        for event in events:
            if event.rollback is not None:
                self._tx.rollbacks.add(event.node_id, event.rollback)

    def _apply_to_targets(self, events: Sequence[Event]) -> None:
        order_ids = {event.order_id for event in events}
        self._tx.rollouts.touch(order_ids)  # first the lock, then the reading
        turns = self._tx.targets.by_order(order_ids)
        seen = {(turn.rollout_id, turn.target.node_id): turn.target for turn in turns.values()}
        current: dict[tuple[str, str], Target] = dict(seen)
        for event in events:
            turn = turns.get(event.order_id)
            if turn is None or turn.target.node_id != event.node_id:
                continue  # an order without a turn, or one node speaking about another's
            key = (turn.rollout_id, event.node_id)
            current[key] = apply_event(current[key], event, self._now) or current[key]
        self._tx.targets.update(
            [Change(key[0], seen[key], target) for key, target in current.items() if target != seen[key]]
        )

    def _apply_to_orders(self, events: Sequence[Event]) -> None:
        seen = self._tx.orders.by_ids({event.order_id for event in events})
        answered = {event.order_id for event in events if event.kind is EventKind.CANCEL_ANSWER}
        meant = {seen[order_id].order.target for order_id in answered & seen.keys()} - {""}
        seen |= self._tx.orders.by_ids((meant | self._tx.orders.cancels_of(answered)) - seen.keys())
        current = dict(seen)
        for event in events:
            for row in _concerned(event, current):
                if row.order.node_id == event.node_id:
                    changed = apply_to_order(row, event, self._now, self._silence)
                    current[row.order.id] = changed or row
        self._tx.orders.update([(seen[key], row) for key, row in current.items() if row != seen[key]])


def _concerned(event: Event, rows: dict[str, OrderRow]) -> Iterable[OrderRow]:
    """The order that the event names; with a cancel answer also the other one of the two that it is about."""
    named = rows.get(event.order_id)
    if named is None:
        return []
    if event.kind is not EventKind.CANCEL_ANSWER:
        return [named]
    if named.order.kind is OrderKind.CANCEL:
        return [named, *(row for row in [rows.get(named.order.target)] if row)]
    cancels = (row for row in rows.values() if row.order.kind is OrderKind.CANCEL)
    return [named, *(row for row in cancels if row.order.target == event.order_id)]


def _envelope(message: bytes) -> tuple[str, object]:
    args = decode_message(message)
    if len(args) != 1:
        raise EnvelopeError(f"cannot read event: its task has {len(args)} arguments, not one")
    return claimed_sender(args[0]), args[0]


def _verified(sender: str, envelope: object, key: str | None) -> Event:
    if key is None:
        raise NotAllowedError(f"cannot trust event: node {sender!r} is not registered")
    return open_event(envelope, public_from_text(key))


def _contacts(events: Iterable[Event], now: datetime) -> list[Contact]:
    by_node: dict[str, list[Event]] = {}
    for event in events:
        by_node.setdefault(event.node_id, []).append(event)
    return [
        Contact(
            node_id=node_id,
            seen_at=now,
            seqs=tuple(event.seq for event in its),
            facts=next((event.facts for event in reversed(its) if event.facts), None),
            health=next((event.health for event in reversed(its) if _tells_present_health(event)), None),
        )
        for node_id, its in by_node.items()
    ]


def _tells_present_health(event: Event) -> bool:
    # An outcome carries the answer that decided it, which may be from before a rollback. That of a completed update is
    # the present one, and may be all that is heard of it: an older "unhealthy" would else count against the rollout.
    completed = event.kind is EventKind.OUTCOME and event.state is ScheduleState.COMPLETED
    return event.health is not None and (completed or event.kind is EventKind.HEALTH)
