"""Calls about schedules: one node's turn in a rollout, as users ask about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from controller.enact import enact
from controller.fleet.base import Calls, chosen
from controller.rollout.changes import carry_out
from controller.rollout.decisions import CancelTurn, Decision, Withdraw
from controller.rollout.model import OrderState, Rollout, Target
from controller.rollout.selection import ALL, Selection
from controller.store.store import Transaction
from controller.store.targets import Turn
from shared.errors import NotFoundError
from shared.messages import Schedule, UpdateSpec, new_id
from shared.states import CancelAnswer, Phase, ScheduleState, TargetState

#: The node has not answered yet; ask again.
PENDING = "pending"
#: Shown as error kind while nobody knows how a turn ended.
NO_REPORT = "no_report"

_PHASES = {
    TargetState.WAITING: Phase.PENDING,
    TargetState.ORDERED: Phase.PENDING,
    TargetState.SUCCEEDED: Phase.COMPLETED,
    TargetState.ALREADY_THERE: Phase.COMPLETED,
    TargetState.FAILED: Phase.FAILED,
    TargetState.REFUSED: Phase.FAILED,
    TargetState.ROLLED_BACK: Phase.ROLLED_BACK,
    TargetState.CANCELLED: Phase.CANCELLED,
}


class ScheduleCalls(Calls):
    """Look up and cancel single turns."""

    def schedule(self, schedule_id: str) -> Schedule:
        """Return the schedule with a fleet schedule id (``sched-...``) or an order id.

        Raises:
            NotFoundError: there is none.
        """
        with self._store.snapshot() as tx:
            return _shown(_find(tx, schedule_id))

    def schedules(self, selection: Selection = ALL, *, limit: int = 0) -> Sequence[Schedule]:
        """Return the chosen nodes' schedules, newest first; 0: all.

        Raises:
            NotFoundError: a named node is not registered.
            InputError: the selector cannot be read.
        """
        with self._store.snapshot() as tx:
            nodes = None if selection.all else [node.id for node in chosen(tx, selection)]
            return [_shown(turn) for turn in tx.targets.of_nodes(nodes, limit=limit)]

    def schedules_of(self, rollout: Rollout) -> Sequence[Schedule]:
        """Return one schedule per target of ``rollout``, in its order."""
        return [schedule_of(target, rollout.update, rollout.id, rollout.created_at) for target in rollout.targets]

    def cancel_schedule(self, schedule_id: str, *, reason: str, actor: str) -> tuple[str, Schedule]:
        """Withdraw one node's update; return the answer, which is a ``CancelAnswer`` or "pending", and the schedule.

        Asking again is how to learn what became of "pending".

        Raises:
            NotFoundError: there is no such schedule.
        """

        def work(tx: Transaction, now: datetime) -> tuple[str, Schedule]:
            turn = _find(tx, schedule_id)
            seen = tx.rollouts.get(turn.rollout_id)
            target = _of(seen, turn.target.node_id)
            decisions = _cancel(target, reason or f"cancelled by {actor}")
            if decisions:
                subject = target.schedule_id
                tx.audit.add(at=now, actor=actor, action="schedule.cancel", subject=subject, reason=reason)
                changed, orders = carry_out(seen, decisions, {}, now, new_id)
                seen = enact(tx, changed, seen=seen, now=now, orders=orders)
                target = _of(seen, target.node_id)
            return _answer(tx, target), schedule_of(target, seen.update, seen.id, seen.created_at)

        return self._write(work)


def schedule_of(target: Target, update: UpdateSpec, rollout_id: str, created_at: datetime) -> Schedule:
    """Return a turn as users are shown it.

    A silent node's turn counts as failed, so that nobody waits for it; a late report may still correct that.
    """
    phase = _PHASES.get(target.state, target.phase or Phase.PENDING)
    silent = target.state is TargetState.UNKNOWN
    return Schedule(
        id=target.schedule_id,
        state=ScheduleState.FAILED if silent else phase.schedule_state,
        phase=phase,
        update=update,
        node_id=target.node_id,
        order_id=target.order_id,
        rollout_id=rollout_id,
        created_at=created_at,
        started_at=target.accepted_at,
        finished_at=target.finished_at,
        error_kind=NO_REPORT if silent else target.error_kind,
        reason=target.reason,
        origin="fleet",
    )


def _find(tx: Transaction, schedule_id: str) -> Turn:
    turns = tx.targets.find(schedule_id)
    if not turns:
        raise NotFoundError(f"cannot find schedule {schedule_id}", cure="see osctl schedule list")
    return turns[0]


def _of(rollout: Rollout, node_id: str) -> Target:
    target = rollout.target(node_id)
    if target is None:
        raise NotFoundError(f"cannot find {node_id} in {rollout.id}")
    return target


def _shown(turn: Turn) -> Schedule:
    return schedule_of(turn.target, turn.update, turn.rollout_id, turn.created_at)


def _cancel(target: Target, reason: str) -> list[Decision]:
    if target.state is TargetState.WAITING or (target.in_flight and target.give_back):
        return [CancelTurn(target.node_id, reason)]
    silent = target.state is TargetState.UNKNOWN
    if (target.in_flight or silent) and not target.cancel_order_id:
        return [Withdraw(target.node_id, reason, give_back=False)]
    return []


def _answer(tx: Transaction, target: Target) -> str:
    if target.state is TargetState.CANCELLED:
        return CancelAnswer.STOPPED
    if not target.in_flight and target.state is not TargetState.UNKNOWN:
        return CancelAnswer.TOO_LATE
    row = tx.orders.by_ids([target.cancel_order_id]).get(target.cancel_order_id)
    answered = row is not None and row.state is OrderState.DONE
    return CancelAnswer.TOO_LATE if answered else PENDING
