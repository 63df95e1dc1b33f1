"""Where everything from outside comes in: orders from the queue, calls from the API. Any thread may call.

Rules:
- What is answered is durable: an order that ``take`` returned from is journaled, or its refusal is.
- An order is known by its id: again is answered as before. An unknown one with a lower sequence number than the
  highest taken is stale, except a cancel: to withdraw late harms nobody.
- Nothing here touches a slot. The runner is woken and does it.
"""

from __future__ import annotations

import structlog

from node_executor import admission, machine
from node_executor.machine import Signal
from node_executor.records import KnownOrder, Record
from node_executor.rollbacks import request_rollback
from node_executor.state import NodeState
from shared.errors import (
    AlreadyExistsError,
    ConflictError,
    EnvelopeError,
    FleetError,
    InputError,
    NotFoundError,
    SignatureError,
    StaleOrderError,
    StateFileError,
)
from shared.messages import Order, UpdateSpec
from shared.signing import claimed_order_id
from shared.states import CancelAnswer, EventKind, OrderKind, Phase

log = structlog.get_logger(__name__)

#: Longest idempotency key, in characters: it is written with every change of the journal.
MAX_KEY = 200


class Desk:
    """Takes orders and requests for one node."""

    def __init__(self, state: NodeState) -> None:
        self._state = state

    # --- orders from the fleet ----------------------------------------------------------------------------------

    def take(self, order: Order) -> None:
        """Make ``order``, or its refusal, durable and report which.

        Raises:
            StateFileError: it could not be made durable; the order must come again.
            EnvelopeError: the order is for another node.
        """
        if order.node_id != self._state.config.node_id:
            raise EnvelopeError(f"cannot take order {order.id}: it is for {order.node_id}")
        with self._state.changed:
            # At once, and for orders that come again as well: one that was journaled before its report failed has
            # told nobody yet. The runner looks when the lock is free.
            self._state.wake()
            known = self._state.journal.order(order.id)
            if known is not None:
                self._answer_again(known)
                return
            try:
                self._admit(order)
                self._carry_out(order)
            except StateFileError:
                raise
            except FleetError as error:
                self._turn_down(order, error)

    def refuse(self, error: FleetError, raw: object) -> None:
        """Report that something that came is no order for this node."""
        # The id of a message whose signature is wrong is not believed either.
        order_id = "" if isinstance(error, SignatureError) else claimed_order_id(raw)
        with self._state.changed:
            if order_id and self._state.journal.order(order_id) is not None:
                order_id = ""
            self._state.emit(EventKind.REFUSED, order_id=order_id, error_kind=error.kind, reason=error.message[:4000])

    def _admit(self, order: Order) -> None:
        state = self._state
        if state.trouble is not None:
            raise state.trouble
        highest = state.journal.highest_seq
        if order.seq < highest and order.kind is not OrderKind.CANCEL:
            raise StaleOrderError(f"cannot take order {order.id}: its number {order.seq} is below {highest}")
        admission.check_not_expired(f"order {order.id}", order.expires_at, state.clock.now())

    def _carry_out(self, order: Order) -> None:
        if order.kind is OrderKind.UPDATE:
            self._take_update(order)
        elif order.kind is OrderKind.CANCEL:
            self._take_cancel(order)
        elif order.kind is OrderKind.GRANT:
            self._take_grant(order)
        else:
            record = request_rollback(self._state, order.reason, order=order)
            self._accept(_known(order, record.id), record)

    def _take_update(self, order: Order) -> None:
        state, update = self._state, order.update
        assert update is not None  # noqa: S101 - the model has checked it
        self._check(update)
        record = Record(
            id=state.journal.next_id(state.clock.now()),
            update=update,
            order_id=order.id,
            rollout_id=order.rollout_id,
            created_at=state.clock.now(),
            expires_at=order.expires_at,
        )
        replaced = [self._replaced(old, order) for old in state.journal.records if _waits_for_fleet(old)]
        known = _known(order, record.id)
        state.journal.write(*replaced, record, order=known)
        self._accept(known, record)

    def _replaced(self, old: Record, order: Order) -> Record:
        said = old.evolve(cancelling=True, error_kind="replaced", reason=f"replaced by order {order.id}")
        return self._cancelled(said)

    def _cancelled(self, record: Record) -> Record:
        step = machine.decide(record, Signal.CANCEL)
        return machine.moved(record, step, self._state.clock.now(), self._state.ports.host.boot_id())

    def _take_cancel(self, order: Order) -> None:
        record, answer = self._cancel(order.target, order.reason)
        known = _known(order, record.id if record else "", answer)
        self._write_cancel(record, known)
        self._accept(known, record)

    def _take_grant(self, order: Order) -> None:
        record = self._state.journal.find(order.target)
        if record is None:
            raise NotFoundError(f"cannot grant the switch of order {order.target}: this node does not know it")
        if record.phase.final:
            raise ConflictError(f"cannot grant the switch of order {order.target}: it has ended {record.phase}")
        known = _known(order, record.id)
        self._state.journal.write(record.evolve(granted=True), order=known)
        self._accept(known, record)

    def _accept(self, known: KnownOrder, record: Record | None) -> None:
        state = self._state
        about = {"order_id": known.id, "rollout_id": known.rollout_id, "schedule_id": known.schedule_id}
        phase = record.phase if record else None
        state.emit(EventKind.ACCEPTED, None, **about, phase=phase, state=phase.schedule_state if phase else None)
        if known.cancel_answer is not None:
            state.emit(EventKind.CANCEL_ANSWER, None, **about, cancel_answer=known.cancel_answer, reason=known.reason)

    def _turn_down(self, order: Order, error: FleetError) -> None:
        known = _known(order).model_copy(update={"error_kind": error.kind, "reason": error.message[:2000]})
        log.warning("order refused", order_id=order.id, kind=error.kind, error=error.message)
        self._state.journal.write(order=known)
        self._report_refusal(known)

    def _report_refusal(self, known: KnownOrder) -> None:
        about = {"order_id": known.id, "rollout_id": known.rollout_id}
        self._state.emit(EventKind.REFUSED, None, **about, error_kind=known.error_kind, reason=known.reason)

    def _answer_again(self, known: KnownOrder) -> None:
        """The controller has not heard our first answer: give it again, and the outcome if there is one."""
        log.info("order came again", order_id=known.id)
        if known.error_kind:
            self._report_refusal(known)
            return
        record = self._state.journal.find(known.schedule_id)
        self._accept(known, record)
        makes = known.kind in (OrderKind.UPDATE, OrderKind.ROLLBACK)
        if makes and record is not None and record.settled:
            about = {"order_id": known.id, "rollout_id": known.rollout_id}
            facts = self._state.known_facts()
            self._state.emit(EventKind.OUTCOME, record, **about, facts=facts, health=record.health)

    # --- requests of this node's own API ------------------------------------------------------------------------

    def schedule(self, update: UpdateSpec, key: str = "") -> Record:
        """Make a schedule of this node's own; the same ``key`` and update give the same schedule.

        Raises:
            InputError: the key is too long to be kept.
            AlreadyExistsError: the key was used for another update.
            ImageError, SlotInUseError: this node cannot or may not install it.
            StateFileError: it could not be made durable.
        """
        if len(key) > MAX_KEY:
            raise InputError(
                f"cannot schedule update: the idempotency key has {len(key)} characters", cure=f"use at most {MAX_KEY}"
            )
        state = self._state
        with state.changed:
            same = state.journal.find_key(key)
            if same is not None:
                if same.update == update:
                    return same
                raise AlreadyExistsError(
                    f"cannot schedule update: key {key!r} stands for {same.id}, another update", cure="use a new key"
                )
            if state.trouble is not None:
                raise state.trouble
            self._check(update)
            now = state.clock.now()
            record = Record(id=state.journal.next_id(now), update=update, key=key, created_at=now)
            state.journal.write(record)
            state.wake()
            try:
                state.emit(EventKind.ACCEPTED, record)
            except StateFileError:  # the schedule stands: who asked must not believe otherwise, and ask again
                log.exception("cannot report a schedule", schedule_id=record.id)
            return record

    def cancel(self, name: str, reason: str) -> tuple[CancelAnswer, Record | None]:
        """Withdraw the schedule or order ``name``, if it has not switched. Raises StateFileError."""
        with self._state.changed:
            record, answer = self._cancel(name, reason)
            if record is not None:
                self._write_cancel(record)
            self._state.wake()
            return answer, record

    def trigger_rollback(self, reason: str) -> Record:
        """Go back to the other slot; returns when that is durable, before the reboot.

        Raises:
            ConflictError: the other slot is not proven, or an update stands in the way.
            StateFileError: it could not be made durable.
        """
        with self._state.changed:
            record = request_rollback(self._state, reason)
            self._state.wake()
            return record

    def status(self, name: str) -> Record:
        """Return the schedule with this id or order id.

        Raises:
            NotFoundError: there is none, or it is forgotten.
        """
        with self._state.changed:
            record = self._state.journal.find(name)
        if record is None:
            raise NotFoundError(
                f"cannot find schedule {name!r} on this node", cure="list what there is with `osctl schedule list`"
            )
        return record

    def schedules(self, limit: int = 0) -> list[Record]:
        """Return schedules, newest first; ``limit`` 0 means all that are kept."""
        with self._state.changed:
            records = list(reversed(self._state.journal.records))
        return records[:limit] if limit > 0 else records

    # --- shared by both -----------------------------------------------------------------------------------------

    def _check(self, update: UpdateSpec) -> None:
        admission.check_update(self._state, update)
        if self._state.active() is None:  # else the ground is asked for when its turn comes
            admission.check_ground(self._state)

    def _cancel(self, name: str, reason: str) -> tuple[Record | None, CancelAnswer]:
        """Return the changed record, not yet written, and the answer."""
        record = self._state.journal.find(name)
        if record is None:
            return None, CancelAnswer.UNKNOWN
        if record.phase is Phase.CANCELLED or record.cancelling:
            return record, CancelAnswer.STOPPED
        if not machine.cancellable(record):
            return record, CancelAnswer.TOO_LATE
        record = record.evolve(cancelling=True, error_kind="", reason=reason)
        if record.phase is Phase.PENDING:
            return self._cancelled(record), CancelAnswer.STOPPED
        return record, CancelAnswer.STOPPED

    def _write_cancel(self, record: Record | None, order: KnownOrder | None = None) -> None:
        """Make a cancel durable, then end what runs: an effect cut short for no reason on disk would count as done."""
        self._state.journal.write(*([record] if record else []), order=order)
        if record is not None and record.cancelling and not record.phase.final:
            self._state.interrupt.set()


def _known(order: Order, schedule_id: str = "", answer: CancelAnswer | None = None) -> KnownOrder:
    return KnownOrder(
        id=order.id,
        seq=order.seq,
        kind=order.kind,
        rollout_id=order.rollout_id,
        schedule_id=schedule_id,
        cancel_answer=answer,
        reason=order.reason[:2000],
    )


def _waits_for_fleet(record: Record) -> bool:
    return record.phase is Phase.PENDING and bool(record.order_id) and record.kind is OrderKind.UPDATE
