"""A rollback that somebody asks for: of the update on trial, or from one proven slot to the other."""

from __future__ import annotations

from node_executor.records import MAX_REASON, KnownOrder, Record
from node_executor.state import NodeState
from shared.errors import ConflictError
from shared.messages import Order
from shared.slots import Slot
from shared.states import OrderKind, Phase, RollbackType


def request_rollback(state: NodeState, reason: str, order: Order | None = None) -> Record:
    """Make the request durable and return the record that carries it out; the caller holds the lock.

    While an update is on trial, that update turns back. Otherwise a bare rollback is journaled: it leaves the running
    slot for the other one. The slot left is retired, so that nothing can bounce back into it by itself.

    Raises:
        ConflictError: the other slot is not proven, or an update stands in the way.
        BootloaderError: the boot state cannot be read.
        StateFileError: it could not be made durable.
    """
    if state.trouble is not None:
        raise state.trouble
    running = state.ports.host.running_slot()
    _check_other(state, running)
    active = state.active()
    pending = [r for r in state.journal.records if r.kind is OrderKind.ROLLBACK and r.phase is Phase.PENDING]
    if active is not None:
        record = _turn_back(active, reason)
    elif pending:
        raise ConflictError(f"cannot roll back: rollback {pending[0].id} is about to begin", cure="wait for it")
    else:
        record = _bare(state, running, reason, order)
    known = None
    if order is not None:
        known = KnownOrder(
            id=order.id, seq=order.seq, kind=order.kind, rollout_id=order.rollout_id, schedule_id=record.id
        )
    state.journal.write(record, order=known)
    if active is not None:
        state.interrupt.set()  # not before: a proof cut short for no reason on disk would count as failed
    return record


def _check_other(state: NodeState, running: Slot) -> None:
    other = state.ports.boot.status()[running.other()]
    if not (other.successful and other.bootable):
        raise ConflictError(
            f"cannot roll back: slot {other.slot} holds no proven system",
            cure="install a version that works with `osctl schedule update`",
        )


def _turn_back(active: Record, reason: str) -> Record:
    if active.phase is Phase.PROVING and not active.rolling:
        changes = {"rolling": True, "rollback_type": RollbackType.MANUAL, "error_kind": "manual", "reason": reason}
        return active.evolve(**changes)
    if active.rolling or active.phase is Phase.ROLLING_BACK:
        raise ConflictError(f"cannot roll back: {active.id} is already on its way back", cure="wait for it")
    raise ConflictError(
        f"cannot roll back: update {active.id} is {active.phase}",
        cure=f"cancel it first with `osctl schedule cancel {active.id}`, or wait until it has booted",
    )


def _bare(state: NodeState, running: Slot, reason: str, order: Order | None) -> Record:
    brought = (r for r in reversed(state.journal.records) if r.phase is Phase.COMPLETED and r.target_slot is running)
    undone = next(brought, None)
    now = state.clock.now()
    return Record(
        id=state.journal.next_id(now),
        kind=OrderKind.ROLLBACK,
        update=undone.update if undone else None,
        order_id=order.id if order else "",
        rollout_id=order.rollout_id if order else "",
        created_at=now,
        source_slot=running.other(),
        target_slot=running,
        source_version=undone.source_version if undone else "",
        error_kind="manual",
        reason=reason[:MAX_REASON],
        rollback_type=RollbackType.MANUAL,
    )
