"""What the executor does at its start, before anything else: say what it found, and take up what was interrupted."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from node_executor import machine
from node_executor.finish import write_history
from node_executor.machine import MAX_BOOTS, Arrival, BootFacts, Signal
from node_executor.records import Record
from node_executor.state import NodeState
from shared.errors import BootloaderError, StateFileError
from shared.messages import NodeFacts
from shared.states import EventKind, Phase

log = structlog.get_logger(__name__)


def say_hello(state: NodeState) -> None:
    """Mend a stale second partition table, find out who we are, and report it together with any trouble.

    Without a readable boot state the node stays inert until it can be read: it answers, and touches nothing.
    """
    troubles = [t for t in (state.journal.trouble, state.book.trouble) if t]
    kind = StateFileError.kind if troubles else ""
    facts = None
    try:
        facts = _examine(state)
    except BootloaderError as error:
        log.exception("cannot read boot state: this node takes no orders")
        state.trouble, kind = error, error.kind
        troubles.append(error.message)
    for trouble in troubles:
        log.error("trouble at start", trouble=trouble)
    state.emit(EventKind.HELLO, facts=facts, error_kind=kind, reason="; ".join(troubles)[:4000])


def look_again(state: NodeState) -> bool:
    """Examine the boot state again, which could not be read, and say hello anew if it can be; else False.

    On a slot on trial it decides everything: a disk that was locked or late for some seconds must not leave it there.

    Raises:
        StateFileError: something could not be made durable.
    """
    try:
        facts = _examine(state)
    except BootloaderError as error:
        state.trouble = error
        return False
    state.trouble = None
    log.warning("boot state can be read again", node_id=state.config.node_id)
    state.emit(EventKind.HELLO, facts=facts)
    return True


def _examine(state: NodeState) -> NodeFacts:
    if state.ports.boot.repair():
        log.warning("partition table repaired", node_id=state.config.node_id)
    with state.changed:  # the API answers already
        note_late_fallback(state)
        disarm_stray(state)
    return state.facts()


def note_late_fallback(state: NodeState) -> None:
    """Record that firmware has left a slot which failed to prove itself and which nobody rolled back.

    That is an update without automatic rollback, long since reported as failed: the slot stayed on trial, used up its
    boots, and the node is back in the old one. The boot counter, which only a proven slot clears, still tells.

    Raises:
        StateFileError: the history cannot be made durable.
        BootloaderError: the boot state cannot be read.
    """
    book, running = state.book.state, state.ports.host.running_slot()
    left_behind = book.boot_counter > 0 and book.previous_partition == running.partition_number
    if state.active() is not None or not left_behind:
        return
    kept = (r for r in reversed(state.journal.records) if r.phase is Phase.FAILED and r.target_slot is running.other())
    record = next(kept, None)
    if record is None:
        state.book.clear()
        return
    why = f"slot {record.target_slot} used up its boots without being proven; it had failed: {record.reason}"
    write_history(state, record.evolve(error_kind="fell_back", reason=why, finished_at=state.clock.now()))


def disarm_stray(state: NodeState) -> None:
    """Retire a slot that the next boot would try although no update is under way: nobody would judge that boot.

    It comes from a journal that was lost after arming, or from firmware that gave a slot up and left it flagged.

    Raises:
        BootloaderError: the boot state cannot be read or changed.
    """
    running = state.ports.host.running_slot()
    status = state.ports.boot.status()
    other = status[running.other()]
    strays = (other.flagged or other.bootable) and not other.successful
    if state.active() is None and status[running].successful and strays:
        log.warning("slot was armed for no update; retired", slot=other.slot)
        state.ports.boot.retire(other.slot)


def taken_up(state: NodeState, record: Record) -> tuple[Signal, Mapping[str, object]]:
    """Return the signal that an interrupted record gets, and what the restart has taught about it.

    Raises:
        BootloaderError: the boot state cannot be read.
    """
    host, target = state.ports.host, record.target_slot
    status = state.ports.boot.status()[target] if target else None
    armed = status is not None and status.bootable and not status.successful
    facts = BootFacts(running=host.running_slot(), boot_id=host.boot_id(), armed=armed)
    signal = machine.resume(record, facts)
    if signal is None:
        return Signal.AGAIN, {}
    came = machine.arrival(record, facts)
    log.info("taken up", schedule_id=record.id, phase=record.phase, came=came, signal=signal)
    if came is Arrival.NEW_SLOT and (signal is Signal.BOOTED or (signal, record.phase) == _PROVING_AGAIN):
        boots = record.boots + (record.phase is Phase.PROVING)
        # Firmware that counts has seen those boots, too, that died before this executor could.
        seen = MAX_BOOTS - status.tries if status and not status.successful else 0
        return signal, {"boots": max(boots, seen)}
    if signal is Signal.FELL_BACK and record.phase is Phase.ARMING:
        return signal, {"error_kind": "interrupted", "reason": f"the power went while slot {target} was being armed"}
    if signal in _WHY and record.phase is not Phase.ROLLING_BACK:
        why = _WHY[signal].format(running=facts.running, target=target, phase=record.phase, boots=record.boots)
        return signal, {"error_kind": _KINDS.get(signal, signal.value), "reason": why}
    return signal, {}


_PROVING_AGAIN = (Signal.AGAIN, Phase.PROVING)
_KINDS = {Signal.LOOPED: "interrupted", Signal.LOST: "interrupted"}
_WHY = {
    Signal.FELL_BACK: "the node came up in slot {running} although slot {target} was to boot",
    Signal.BOOT_LOOP: "slot {target} has booted {boots} times without proving itself",
    Signal.LOOPED: "the update was interrupted too often in phase {phase}",
    Signal.LOST: "the node runs slot {running}, where phase {phase} cannot be",
}
