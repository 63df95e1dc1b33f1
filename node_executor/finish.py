"""The end of an update: leave nothing armed, write history, run the post-update hook, report the outcome.

All of it may run twice after a crash: the record counts as settled only when everything is done.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from node_executor.records import Record
from node_executor.state import NodeState
from shared.errors import BootloaderError, HookError
from shared.messages import RollbackRecord
from shared.slots import Slot
from shared.states import EventKind, OrderKind, Phase, RollbackType

#: Reasons for an automatic rollback that speak against the image; not so a power cut in the wrong moment.
DENYING = frozenset({"unhealthy", "wrong_version", "fell_back", "boot_loop"})

log = structlog.get_logger(__name__)


def finish(state: NodeState, record: Record, hooked: dict[str, list[str]]) -> Mapping[str, object]:
    """Settle ``record``, which is in a final phase, and return what changes in it.

    Args:
        state: of the node.
        record: in a final phase.
        hooked: what post-update hooks of this life came to, by record: a state folder that stays full for hours
            must not run them again and again.

    Raises:
        StateFileError: the history cannot be made durable.
    """
    notes = [record.reason] if record.reason else []
    notes += _disarm(state, record)
    with state.changed:
        if record.phase is Phase.ROLLED_BACK:
            write_history(state, record)
        elif record.boots and not _on_trial(state, record):  # else the count is of another update, kept on trial
            state.book.clear()
    if record.id not in hooked:
        hooked[record.id] = _run_hook(state, record)
    notes += hooked[record.id]
    settled = record.evolve(reason="; ".join(notes), settled=True)
    _report(state, settled)
    return {"reason": settled.reason, "settled": True}


def hook_environment(state: NodeState, record: Record) -> Mapping[str, str]:
    """Return what hooks are told."""
    return {
        "MATIC_NODE_ID": state.config.node_id,
        "MATIC_SCHEDULE_ID": record.id,
        "MATIC_ORDER_ID": record.order_id,
        "MATIC_PHASE": record.phase.value,
        "MATIC_STATE": record.phase.schedule_state.value,
        "MATIC_VERSION": record.version,
        "MATIC_SLOT": record.target_slot.value if record.target_slot else "",
        "MATIC_ERROR_KIND": record.error_kind,
    }


def _on_trial(state: NodeState, record: Record) -> bool:
    """Whether the node goes on running the slot that failed to prove itself."""
    return record.phase is Phase.FAILED and state.ports.host.running_slot() is record.target_slot


def _disarm(state: NodeState, record: Record) -> list[str]:
    """Make sure that an update that did not succeed leaves no unproven slot that a later boot might choose."""
    target = record.target_slot
    if target is None or record.phase is Phase.COMPLETED or state.ports.host.running_slot() is target:
        return []
    try:
        status = state.ports.boot.status()[target]
        if status.bootable and not status.successful:
            state.ports.boot.retire(target)
    except BootloaderError as error:
        log.exception("cannot disarm slot", slot=target, schedule_id=record.id)
        return [f"slot {target} could not be disarmed: {error}"]
    return []


def write_history(state: NodeState, record: Record) -> None:
    """Write that ``record`` was rolled back, deny its image if that speaks against it, and report. Repeatable.

    Raises:
        StateFileError: not durable.
    """
    target: Slot = record.target_slot or state.ports.host.running_slot().other()
    denies = record.rollback_type is RollbackType.AUTOMATIC and record.error_kind in DENYING
    entry = RollbackRecord(
        id=f"{state.config.node_id}/{record.id}",  # the same if this runs again
        at=record.finished_at or state.clock.now(),
        type=record.rollback_type,
        reason=record.reason,
        kind=record.error_kind,
        from_slot=target,
        to_slot=target.other(),
        from_version=record.version,
        to_version=record.source_version,
        order_id=record.order_id,
        schedule_id=record.id,
        rollout_id=record.rollout_id,
        health=record.health,
    )
    state.book.add(entry, record.update.image if denies and record.update else None)
    state.emit(EventKind.ROLLBACK, record, rollback=entry)


def _run_hook(state: NodeState, record: Record) -> list[str]:
    if record.kind is not OrderKind.UPDATE or record.started_at is None or record.update is None:
        return []
    try:
        state.ports.hooks.run(record.update.post_update_hook, hook_environment(state, record))
    except HookError as error:
        # The outcome stands: the slots are as they are.
        log.warning("post-update hook failed", schedule_id=record.id, error=error.message)
        return [f"post-update hook: {error.message}"]
    return []


def _report(state: NodeState, record: Record) -> None:
    facts = state.known_facts()
    state.emit(EventKind.OUTCOME, record, facts=facts, health=record.health)
    # A rollback order that took effect on a running update shares its outcome.
    with state.changed:
        joined = state.journal.orders_for(record.id)
    for order in joined:
        if order.kind is OrderKind.ROLLBACK and order.id != record.order_id:
            state.emit(EventKind.OUTCOME, record, order_id=order.id, rollout_id=order.rollout_id, facts=facts)
