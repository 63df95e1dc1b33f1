"""How a node's event changes a target and its orders: pure, idempotent, tolerant of any order of arrival.

Rules:
- An event speaks only about the order that it names; one about an earlier order of the same node changes nothing.
- An outcome beats a phase, whichever comes first. Among phases the node's own sequence number decides.
- A final state stays, with one exception: UNKNOWN only says that nobody heard, so a late outcome corrects it.
- A stopped order gives the turn back (halt, pause) or ends it (abort, cancel), as ``Target.give_back`` says.
- "Unknown" as answer to a cancel order stops as well: its sequence number is above the update's, so the node will
  refuse the update as stale should it still come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from controller.rollout.model import OrderRow, OrderState, Target
from shared.errors import ExpiredOrderError, ImageError, StaleOrderError, all_errors
from shared.messages import Event
from shared.states import CancelAnswer, EventKind, OrderKind, ScheduleState, TargetState

_OUTCOMES = {
    ScheduleState.COMPLETED: TargetState.SUCCEEDED,
    ScheduleState.FAILED: TargetState.FAILED,
    ScheduleState.ROLLED_BACK: TargetState.ROLLED_BACK,
    ScheduleState.CANCELLED: TargetState.CANCELLED,
}
#: States in which an outcome is still news. WAITING: the turn was given back, yet the node had gone on.
_OPEN_TO_OUTCOME = (TargetState.WAITING, TargetState.ORDERED, TargetState.ACCEPTED, TargetState.UNKNOWN)
#: What a node answers when a withdrawn update reaches it after its withdrawal.
_WITHDRAWN_KINDS = (StaleOrderError.kind, ExpiredOrderError.kind)


def apply_event(target: Target, event: Event, now: datetime) -> Target | None:
    """Return ``target`` as it stands after ``event``, or None if the event changes nothing.

    Args:
        target: the node's turn in the rollout that the event belongs to.
        event: what the node said; may be old, repeated or about another order.
        now: the controller's time of receipt. Nodes' clocks are not trusted with deadlines.
    """
    if not event.order_id or event.order_id not in (target.order_id, target.cancel_order_id):
        return None
    if event.order_id == target.cancel_order_id and event.kind is not EventKind.CANCEL_ANSWER:
        return None
    change = _CHANGES.get(event.kind)
    return change(target, event, now) if change else None


def stop(target: Target, now: datetime, reason: str) -> Target:
    """Return ``target`` after its order was stopped: the turn is given back or over."""
    if target.give_back and target.state is not TargetState.UNKNOWN:
        return replace(
            target, state=TargetState.WAITING, phase=None, ordered_at=None, accepted_at=None, error_kind="", reason=""
        )
    return replace(target, state=TargetState.CANCELLED, finished_at=now, error_kind="", reason=reason)


def _accepted(target: Target, event: Event, now: datetime) -> Target | None:
    # A node that is asked again says where it stands: the events that said so before may be lost.
    return _phase(target, event, now) or _taken(target, event, now)


def _taken(target: Target, event: Event, now: datetime) -> Target | None:
    if target.state is not TargetState.ORDERED:
        return None
    return replace(
        target, state=TargetState.ACCEPTED, accepted_at=now, heard_seq=max(target.heard_seq, event.seq), reason=""
    )


def _phase(target: Target, event: Event, now: datetime) -> Target | None:
    if not target.in_flight or event.phase is None or event.phase.final or event.seq <= target.heard_seq:
        return None
    return replace(
        target,
        state=TargetState.ACCEPTED,
        accepted_at=target.accepted_at or now,
        phase=event.phase,
        heard_seq=event.seq,
        reason=event.reason,
    )


def _refused(target: Target, event: Event, now: datetime) -> Target | None:
    if target.cancel_order_id and event.error_kind in _WITHDRAWN_KINDS:
        stoppable = target.in_flight or target.state is TargetState.UNKNOWN
        return stop(target, now, event.reason) if stoppable else None
    if not target.in_flight and target.state is not TargetState.UNKNOWN:
        return None
    return _ended(target, event, now, TargetState.REFUSED)


def _outcome(target: Target, event: Event, now: datetime) -> Target | None:
    if event.state not in _OUTCOMES or target.state not in _OPEN_TO_OUTCOME:
        return None
    state = _OUTCOMES[event.state]
    if state is TargetState.CANCELLED and (target.cancel_order_id or target.state is TargetState.WAITING):
        return None if target.state is TargetState.WAITING else stop(target, now, event.reason)
    if state is TargetState.FAILED and issubclass(all_errors().get(event.error_kind, Exception), ImageError):
        state = TargetState.REFUSED
    return _ended(target, event, now, state)


def _cancel_answer(target: Target, event: Event, now: datetime) -> Target | None:
    if event.cancel_answer is CancelAnswer.TOO_LATE:
        return _taken(target, event, now)
    if event.cancel_answer is None or not (target.in_flight or target.state is TargetState.UNKNOWN):
        return None
    return stop(target, now, event.reason)


def _ended(target: Target, event: Event, now: datetime, state: TargetState) -> Target:
    return replace(
        target,
        state=state,
        phase=event.phase or target.phase,
        heard_seq=max(target.heard_seq, event.seq),
        accepted_at=target.accepted_at if state is TargetState.REFUSED else target.accepted_at or now,
        finished_at=now,
        error_kind=event.error_kind,
        reason=event.reason,
        to_version=event.facts.version if event.facts else target.to_version,
    )


_CHANGES: dict[EventKind, Callable[[Target, Event, datetime], Target | None]] = {
    EventKind.ACCEPTED: _accepted,
    EventKind.PHASE: _phase,
    EventKind.REFUSED: _refused,
    EventKind.OUTCOME: _outcome,
    EventKind.CANCEL_ANSWER: _cancel_answer,
}


def apply_to_order(row: OrderRow, event: Event, now: datetime, silence: timedelta) -> OrderRow | None:
    """Return the outbox row after ``event``, or None if nothing changes.

    The caller passes the row of ``event.order_id``; for a cancel answer also the row of the UPDATE order that the
    cancel order names, or the other way round.

    Args:
        row: the order as it stands.
        event: what the node said.
        now: the controller's time of receipt.
        silence: after this long without a word about an accepted order it is published again. The node knows its id
            and answers with what it has, so that an outcome lost on the way is learned after all.
    """
    state = _order_state(row, event)
    if state is None:
        return None
    return replace(row, state=state, next_publish_at=now + silence if state is OrderState.ACCEPTED else None)


def _order_state(row: OrderRow, event: Event) -> OrderState | None:
    state: OrderState | None = None
    if event.kind is EventKind.OUTCOME and event.state is not None and event.state.final:
        state = OrderState.DONE
    elif event.kind is EventKind.REFUSED:
        state = OrderState.REFUSED
    elif event.kind is EventKind.CANCEL_ANSWER and event.cancel_answer is not None:
        goes_on = event.cancel_answer is CancelAnswer.TOO_LATE and row.order.kind is not OrderKind.CANCEL
        state = OrderState.ACCEPTED if goes_on else OrderState.DONE
    elif event.kind in (EventKind.ACCEPTED, EventKind.PHASE) and row.state is not OrderState.WITHDRAWN:
        state = OrderState.DONE if row.order.kind is OrderKind.GRANT else OrderState.ACCEPTED
    return None if row.state in (OrderState.DONE, OrderState.REFUSED) else state
