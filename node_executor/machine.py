"""The node's transition table as data, and the pure functions that read it.

Rules:
- A move that has no row raises ``IllegalTransitionError``: nothing is guessed.
- ``decide`` says the next phase and the one effect to perform; the runner makes the phase durable before the effect.
- ``resume`` says which signal a phase gets when the executor starts; what no row names falls back to the proven slot.
- Budgets are values in the record. Only AGAIN makes a circle, and MAX_MOVES cuts it; one that waits, staged, is none.
- A rollback ends in the old slot whatever its health says: no row leads from there to another switch (no ping-pong).

No clock, disk or network here. ``python -m node_executor.machine_docs`` prints docs/reference/node-states.md from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node_executor.records import Record
from shared.errors import IllegalTransitionError
from shared.slots import MAX_TRIES, Slot
from shared.states import OrderKind, Phase

#: Boots that an unproven slot is given (requirement R2); the same number that arming writes into the GPT.
MAX_BOOTS = MAX_TRIES
#: Times that one update may begin to write its slot; a node that loses power this often needs a person.
MAX_INSTALLS = 8
#: Steps that one update may take. A straight one takes 9; each restart adds one, but not while it is staged.
MAX_MOVES = 64


class Signal(StrEnum):
    """What can happen to an update."""

    BEGIN = "begin"  #: its time has come and it is its turn
    DONE = "done"  #: the effect succeeded
    FAILURE = "failure"  #: the effect failed for good
    CANCEL = "cancel"  #: withdrawn in time
    LEAVE = "leave"  #: window, time and grant allow the switch
    HEALTHY = "healthy"  #: expected slot, version and boot, and every critical check passed
    UNHEALTHY = "unhealthy"  #: not so, and the update rolls back by itself
    TOLERATED = "tolerated"  #: not so, and nobody asked for automatic rollback
    ROLL_BACK = "roll_back"  #: a person or program asked to go back
    RETURNED = "returned"  #: the old slot runs, and the new one can no longer be booted
    AGAIN = "again"  #: restarted: the effect may not have finished
    BOOTED = "booted"  #: restarted: a new boot, in the new slot
    FELL_BACK = "fell_back"  #: restarted: a new boot, in the old slot although the new one was armed
    BOOT_LOOP = "boot_loop"  #: restarted: the unproven slot has had all its boots
    LOOPED = "looped"  #: restarted: too many steps for one update
    LOST = "lost"  #: restarted: the machine is where this phase cannot be


class Effect(StrEnum):
    """What the runner does on entering a step. Each may be repeated after a crash."""

    PREPARE = "prepare"  #: check once more, run the pre-update hook, probe the source
    FLASH = "flash"  #: retire the inactive slot, stream the image into it
    VERIFY = "verify"  #: read the slot back
    AWAIT_LEAVE = "await_leave"  #: wait for window and grant
    ARM = "arm"  #: flip the boot attributes: the new slot next, unproven
    REBOOT = "reboot"  #: ask for the reboot
    PROVE = "prove"  #: compare slot, version and boot, ask health
    MARK_GOOD = "mark_good"  #: flip the boot attributes: the new slot for good
    GO_BACK = "go_back"  #: retire the new slot; reboot if it is the running one
    CHECK_OLD = "check_old"  #: ask the old slot's health, for the record
    FINISH = "finish"  #: leave nothing armed, run the post-update hook, write history, report


@dataclass(frozen=True)
class Step:
    """Where a signal leads, and what to do there."""

    phase: Phase
    effect: Effect


# The columns are for the eye.
# fmt: off
TABLE: dict[tuple[Phase, Signal], Step] = {
    (Phase.PENDING,      Signal.BEGIN):     Step(Phase.FETCHING,     Effect.PREPARE),
    (Phase.PENDING,      Signal.CANCEL):    Step(Phase.CANCELLED,    Effect.FINISH),
    (Phase.PENDING,      Signal.FAILURE):   Step(Phase.FAILED,       Effect.FINISH),
    (Phase.PENDING,      Signal.ROLL_BACK): Step(Phase.ROLLING_BACK, Effect.GO_BACK),

    (Phase.FETCHING,     Signal.DONE):      Step(Phase.FLASHING,     Effect.FLASH),
    (Phase.FETCHING,     Signal.CANCEL):    Step(Phase.CANCELLED,    Effect.FINISH),
    (Phase.FETCHING,     Signal.FAILURE):   Step(Phase.FAILED,       Effect.FINISH),
    (Phase.FETCHING,     Signal.AGAIN):     Step(Phase.FETCHING,     Effect.PREPARE),
    (Phase.FETCHING,     Signal.LOOPED):    Step(Phase.FAILED,       Effect.FINISH),
    (Phase.FETCHING,     Signal.LOST):      Step(Phase.ROLLING_BACK, Effect.GO_BACK),

    (Phase.FLASHING,     Signal.DONE):      Step(Phase.VERIFYING,    Effect.VERIFY),
    (Phase.FLASHING,     Signal.CANCEL):    Step(Phase.CANCELLED,    Effect.FINISH),
    (Phase.FLASHING,     Signal.FAILURE):   Step(Phase.FAILED,       Effect.FINISH),
    (Phase.FLASHING,     Signal.AGAIN):     Step(Phase.FLASHING,     Effect.FLASH),
    (Phase.FLASHING,     Signal.LOOPED):    Step(Phase.FAILED,       Effect.FINISH),
    (Phase.FLASHING,     Signal.LOST):      Step(Phase.ROLLING_BACK, Effect.GO_BACK),

    (Phase.VERIFYING,    Signal.DONE):      Step(Phase.STAGED,       Effect.AWAIT_LEAVE),
    (Phase.VERIFYING,    Signal.CANCEL):    Step(Phase.CANCELLED,    Effect.FINISH),
    (Phase.VERIFYING,    Signal.FAILURE):   Step(Phase.FAILED,       Effect.FINISH),
    (Phase.VERIFYING,    Signal.AGAIN):     Step(Phase.VERIFYING,    Effect.VERIFY),
    (Phase.VERIFYING,    Signal.LOOPED):    Step(Phase.FAILED,       Effect.FINISH),
    (Phase.VERIFYING,    Signal.LOST):      Step(Phase.ROLLING_BACK, Effect.GO_BACK),

    (Phase.STAGED,       Signal.LEAVE):     Step(Phase.ARMING,       Effect.ARM),
    (Phase.STAGED,       Signal.CANCEL):    Step(Phase.CANCELLED,    Effect.FINISH),
    (Phase.STAGED,       Signal.FAILURE):   Step(Phase.FAILED,       Effect.FINISH),
    (Phase.STAGED,       Signal.AGAIN):     Step(Phase.STAGED,       Effect.AWAIT_LEAVE),
    (Phase.STAGED,       Signal.LOOPED):    Step(Phase.FAILED,       Effect.FINISH),
    (Phase.STAGED,       Signal.LOST):      Step(Phase.ROLLING_BACK, Effect.GO_BACK),

    (Phase.ARMING,       Signal.DONE):      Step(Phase.TRIAL,        Effect.REBOOT),
    (Phase.ARMING,       Signal.FAILURE):   Step(Phase.FAILED,       Effect.FINISH),
    (Phase.ARMING,       Signal.AGAIN):     Step(Phase.ARMING,       Effect.ARM),
    (Phase.ARMING,       Signal.BOOTED):    Step(Phase.PROVING,      Effect.PROVE),
    (Phase.ARMING,       Signal.FELL_BACK): Step(Phase.ROLLING_BACK, Effect.GO_BACK),
    (Phase.ARMING,       Signal.LOOPED):    Step(Phase.FAILED,       Effect.FINISH),
    (Phase.ARMING,       Signal.LOST):      Step(Phase.ROLLING_BACK, Effect.GO_BACK),

    (Phase.TRIAL,        Signal.BOOTED):    Step(Phase.PROVING,      Effect.PROVE),
    (Phase.TRIAL,        Signal.FELL_BACK): Step(Phase.ROLLING_BACK, Effect.GO_BACK),
    (Phase.TRIAL,        Signal.AGAIN):     Step(Phase.TRIAL,        Effect.REBOOT),
    (Phase.TRIAL,        Signal.FAILURE):   Step(Phase.FAILED,       Effect.FINISH),
    (Phase.TRIAL,        Signal.LOOPED):    Step(Phase.FAILED,       Effect.FINISH),
    (Phase.TRIAL,        Signal.LOST):      Step(Phase.ROLLING_BACK, Effect.GO_BACK),

    (Phase.PROVING,      Signal.HEALTHY):   Step(Phase.PROVING,      Effect.MARK_GOOD),
    (Phase.PROVING,      Signal.DONE):      Step(Phase.COMPLETED,    Effect.FINISH),
    (Phase.PROVING,      Signal.UNHEALTHY): Step(Phase.ROLLING_BACK, Effect.GO_BACK),
    (Phase.PROVING,      Signal.TOLERATED): Step(Phase.FAILED,       Effect.FINISH),
    (Phase.PROVING,      Signal.FAILURE):   Step(Phase.ROLLING_BACK, Effect.GO_BACK),
    (Phase.PROVING,      Signal.ROLL_BACK): Step(Phase.ROLLING_BACK, Effect.GO_BACK),
    (Phase.PROVING,      Signal.AGAIN):     Step(Phase.PROVING,      Effect.PROVE),
    (Phase.PROVING,      Signal.FELL_BACK): Step(Phase.ROLLING_BACK, Effect.GO_BACK),
    (Phase.PROVING,      Signal.BOOT_LOOP): Step(Phase.ROLLING_BACK, Effect.GO_BACK),
    (Phase.PROVING,      Signal.LOOPED):    Step(Phase.ROLLING_BACK, Effect.GO_BACK),
    (Phase.PROVING,      Signal.LOST):      Step(Phase.ROLLING_BACK, Effect.GO_BACK),

    (Phase.ROLLING_BACK, Signal.RETURNED):  Step(Phase.ROLLING_BACK, Effect.CHECK_OLD),
    (Phase.ROLLING_BACK, Signal.DONE):      Step(Phase.ROLLED_BACK,  Effect.FINISH),
    (Phase.ROLLING_BACK, Signal.FAILURE):   Step(Phase.FAILED,       Effect.FINISH),
    (Phase.ROLLING_BACK, Signal.AGAIN):     Step(Phase.ROLLING_BACK, Effect.GO_BACK),
    (Phase.ROLLING_BACK, Signal.LOOPED):    Step(Phase.FAILED,       Effect.FINISH),
}
# fmt: on

#: Phases in which a cancel is still in time: the boot attributes are untouched.
CANCELLABLE = frozenset(phase for phase, signal in TABLE if signal is Signal.CANCEL)


class Arrival(StrEnum):
    """Where a start of the executor finds the machine, compared with what the record says."""

    SAME_BOOT = "same_boot"  #: the machine has not booted since
    OLD_SLOT = "old_slot"  #: new boot, old slot, and the new one is not armed
    FELL_BACK = "fell_back"  #: new boot, old slot, although the new one is armed
    NEW_SLOT = "new_slot"  #: new boot, new slot
    STRANGE = "strange"  #: the same boot in the other slot: cannot be


# fmt: off
RESUME: dict[tuple[Phase, Arrival], Signal] = {
    (Phase.FETCHING,     Arrival.SAME_BOOT): Signal.AGAIN,
    (Phase.FETCHING,     Arrival.OLD_SLOT):  Signal.AGAIN,
    (Phase.FLASHING,     Arrival.SAME_BOOT): Signal.AGAIN,
    (Phase.FLASHING,     Arrival.OLD_SLOT):  Signal.AGAIN,
    (Phase.VERIFYING,    Arrival.SAME_BOOT): Signal.AGAIN,
    (Phase.VERIFYING,    Arrival.OLD_SLOT):  Signal.AGAIN,
    (Phase.STAGED,       Arrival.SAME_BOOT): Signal.AGAIN,
    (Phase.STAGED,       Arrival.OLD_SLOT):  Signal.AGAIN,
    (Phase.ARMING,       Arrival.SAME_BOOT): Signal.AGAIN,
    (Phase.ARMING,       Arrival.OLD_SLOT):  Signal.FELL_BACK,  # before the flip, or it has used up its boots:
    (Phase.ARMING,       Arrival.FELL_BACK): Signal.FELL_BACK,  # who cannot tell must not give it three more
    (Phase.ARMING,       Arrival.NEW_SLOT):  Signal.BOOTED,     # the power went after the flip
    (Phase.TRIAL,        Arrival.SAME_BOOT): Signal.AGAIN,      # the reboot has not happened
    (Phase.TRIAL,        Arrival.OLD_SLOT):  Signal.FELL_BACK,  # firmware may disarm when it gives up
    (Phase.TRIAL,        Arrival.FELL_BACK): Signal.FELL_BACK,
    (Phase.TRIAL,        Arrival.NEW_SLOT):  Signal.BOOTED,
    (Phase.PROVING,      Arrival.SAME_BOOT): Signal.AGAIN,
    (Phase.PROVING,      Arrival.OLD_SLOT):  Signal.FELL_BACK,
    (Phase.PROVING,      Arrival.FELL_BACK): Signal.FELL_BACK,
    (Phase.PROVING,      Arrival.NEW_SLOT):  Signal.AGAIN,      # or BOOT_LOOP, by the budget
    (Phase.ROLLING_BACK, Arrival.SAME_BOOT): Signal.AGAIN,
    (Phase.ROLLING_BACK, Arrival.OLD_SLOT):  Signal.AGAIN,
    (Phase.ROLLING_BACK, Arrival.FELL_BACK): Signal.AGAIN,
    (Phase.ROLLING_BACK, Arrival.NEW_SLOT):  Signal.AGAIN,
    (Phase.ROLLING_BACK, Arrival.STRANGE):   Signal.AGAIN,
}
# fmt: on


@dataclass(frozen=True, kw_only=True)
class BootFacts:
    """What the machine says about itself at start."""

    running: Slot
    boot_id: str
    armed: bool  #: the record's target slot may be booted, but is not proven


def effective(record: Record, signal: Signal) -> Signal:
    """Return what counts: a promised cancel or a rollback asked for comes before what an effect has to say."""
    if record.cancelling and record.phase in CANCELLABLE:
        return Signal.CANCEL
    if record.rolling and record.phase is Phase.PROVING:
        return Signal.ROLL_BACK
    return signal


def decide(record: Record, signal: Signal) -> Step:
    """Return the step that ``signal``, or what is more urgent, leads to.

    Raises:
        IllegalTransitionError: the table has no such row.
    """
    signal = effective(record, signal)
    step = TABLE.get((record.phase, signal))
    if step is None:
        raise IllegalTransitionError(f"cannot move {record.id}: phase {record.phase} knows no signal {signal}")
    return step


def moved(record: Record, step: Step, now: datetime, boot_id: str) -> Record:
    """Return ``record`` after ``step``, its counters and instants brought up to date."""
    entered = step.phase is not record.phase
    begun = record.started_at or (None if step.phase is Phase.CANCELLED else now)
    # A reason without an error kind is a passing one ("try 3: ..."), or a canceller's.
    keep = record.error_kind or not entered or step.phase.final
    # A staged update is at rest: the restarts of a node that is switched off every night are no circle.
    at_rest = record.phase is Phase.STAGED and not entered
    return record.evolve(
        phase=step.phase,
        reason=record.reason if keep else "",
        boot_id=boot_id,
        moves=record.moves + (not at_rest),
        started_at=begun,
        finished_at=now if step.phase.final else None,
        transport_attempts=0 if entered else record.transport_attempts,
        install_attempts=record.install_attempts + (step.effect is Effect.FLASH),
        boots=max(record.boots, 1) if step.effect is Effect.ARM else record.boots,
    )


def arrival(record: Record, facts: BootFacts) -> Arrival:
    """Compare a record with where the machine has come up."""
    in_target = facts.running is record.target_slot
    if facts.boot_id == record.boot_id:
        # In proving and on the way back from it, the target is where we were.
        was_target = record.phase in (Phase.PROVING, Phase.ROLLING_BACK)
        return Arrival.STRANGE if in_target and not was_target else Arrival.SAME_BOOT
    if in_target:
        return Arrival.NEW_SLOT
    return Arrival.FELL_BACK if facts.armed else Arrival.OLD_SLOT


def resume(record: Record, facts: BootFacts) -> Signal | None:
    """Return the signal that an interrupted record gets at start; None if it has only to go on waiting."""
    if record.phase.final or record.phase is Phase.PENDING:
        return None
    if record.moves >= MAX_MOVES or (record.phase is Phase.FLASHING and record.install_attempts >= MAX_INSTALLS):
        return Signal.LOOPED
    came = arrival(record, facts)
    if record.phase is Phase.PROVING and came is Arrival.NEW_SLOT and record.boots >= MAX_BOOTS:
        return Signal.BOOT_LOOP
    return RESUME.get((record.phase, came), Signal.LOST)


def opening(record: Record) -> Signal:
    """Return the signal that sets a pending record going."""
    return Signal.ROLL_BACK if record.kind is OrderKind.ROLLBACK else Signal.BEGIN


def cancellable(record: Record) -> bool:
    """Whether a cancel that comes now is in time: the update will not switch."""
    return record.kind is OrderKind.UPDATE and record.phase in CANCELLABLE
