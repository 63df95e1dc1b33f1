"""The transition table and its resume rules, read as data."""

from __future__ import annotations

import pytest

from node_executor import machine
from node_executor.machine import RESUME, TABLE, Arrival, BootFacts, Effect, Signal
from node_executor.records import Record
from shared.errors import IllegalTransitionError
from shared.slots import Slot
from shared.states import OrderKind, Phase
from tests.support.updates import NOON

AFTER_ARMING = (Phase.ARMING, Phase.TRIAL, Phase.PROVING, Phase.ROLLING_BACK)
MOVING = [phase for phase in Phase if not phase.final]


def record(phase: Phase, **fields: object) -> Record:
    base = {"id": "sched-20260127-001", "created_at": NOON, "source_slot": "A", "target_slot": "B", "boot_id": "old"}
    return Record.model_validate({**base, "phase": phase, **fields})


@pytest.mark.parametrize("phase", MOVING)
def test_every_phase_that_is_not_final_can_be_left(phase: Phase) -> None:
    left = {step.phase for (start, _), step in TABLE.items() if start is phase} - {phase}

    assert left


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase.final])
def test_a_final_phase_is_never_left_and_always_finished(phase: Phase) -> None:
    rows = [step for (start, _), step in TABLE.items() if start is phase]
    entries = {step.effect for step in TABLE.values() if step.phase is phase}

    assert rows == []
    assert entries == {Effect.FINISH}


def test_a_move_without_a_row_is_refused() -> None:
    with pytest.raises(IllegalTransitionError, match="phase flashing knows no signal healthy"):
        machine.decide(record(Phase.FLASHING), Signal.HEALTHY)


def test_trial_is_entered_from_arming_alone_and_arming_after_verifying() -> None:
    def entries(phase: Phase) -> set[Phase]:
        return {start for (start, _), step in TABLE.items() if step.phase is phase} - {phase}

    assert entries(Phase.TRIAL) == {Phase.ARMING}
    assert entries(Phase.ARMING) == {Phase.STAGED}
    assert entries(Phase.STAGED) == {Phase.VERIFYING}
    assert TABLE[Phase.VERIFYING, Signal.DONE].phase is Phase.STAGED


def test_completed_is_entered_only_after_the_slot_was_marked_good() -> None:
    rows = [(key, step) for key, step in TABLE.items() if step.phase is Phase.COMPLETED]

    assert [key for key, _ in rows] == [(Phase.PROVING, Signal.DONE)]
    assert [key for key, step in TABLE.items() if step.effect is Effect.MARK_GOOD] == [(Phase.PROVING, Signal.HEALTHY)]


def test_nothing_leads_from_a_rollback_to_another_switch() -> None:
    reached, todo = set(), [Phase.ROLLING_BACK]
    while todo:
        phase = todo.pop()
        reached.add(phase)
        todo += [s.phase for (start, _), s in TABLE.items() if start is phase and s.phase not in reached]

    assert reached == {Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED}


@pytest.mark.parametrize("phase", Phase)
def test_a_cancel_is_in_time_until_the_boot_attributes_are_touched(phase: Phase) -> None:
    expected = not phase.final and phase not in AFTER_ARMING

    assert machine.cancellable(record(phase)) is expected


def test_a_rollback_that_was_asked_for_cannot_be_cancelled() -> None:
    assert not machine.cancellable(record(Phase.PENDING, kind=OrderKind.ROLLBACK))


@pytest.mark.parametrize("phase", sorted(machine.CANCELLABLE - {Phase.PENDING}))
@pytest.mark.parametrize("signal", [Signal.DONE, Signal.FAILURE, Signal.AGAIN])
def test_a_promised_cancel_overtakes_whatever_the_effect_says(phase: Phase, signal: Signal) -> None:
    step = machine.decide(record(phase, cancelling=True), signal)

    assert step.phase is Phase.CANCELLED


@pytest.mark.parametrize("signal", [Signal.HEALTHY, Signal.UNHEALTHY, Signal.TOLERATED, Signal.DONE])
def test_a_rollback_asked_for_while_proving_overtakes_the_verdict(signal: Signal) -> None:
    step = machine.decide(record(Phase.PROVING, rolling=True), signal)

    assert step.phase is Phase.ROLLING_BACK


@pytest.mark.parametrize(("phase", "arrival"), [(p, a) for p in MOVING for a in Arrival if p is not Phase.PENDING])
def test_every_phase_has_a_way_on_wherever_the_machine_comes_up(phase: Phase, arrival: Arrival) -> None:
    signal = RESUME.get((phase, arrival), Signal.LOST)

    assert (phase, signal) in TABLE


@pytest.mark.parametrize("phase", [p for p in MOVING if p is not Phase.PENDING])
def test_where_no_rule_says_otherwise_the_node_falls_back(phase: Phase) -> None:
    unruled = [a for a in Arrival if (phase, a) not in RESUME]

    leads = {TABLE[phase, Signal.LOST].phase for _ in unruled}

    assert leads <= {Phase.ROLLING_BACK}


@pytest.mark.parametrize(
    ("phase", "running", "boot_id", "armed", "signal"),
    [
        pytest.param(Phase.FLASHING, Slot.A, "old", False, Signal.AGAIN, id="killed-while-flashing"),
        pytest.param(Phase.FLASHING, Slot.A, "new", False, Signal.AGAIN, id="power-cut-while-flashing"),
        pytest.param(Phase.FLASHING, Slot.B, "new", False, Signal.LOST, id="woke-in-the-slot-being-flashed"),
        pytest.param(Phase.ARMING, Slot.A, "old", False, Signal.AGAIN, id="killed-before-the-flip"),
        pytest.param(Phase.ARMING, Slot.A, "old", True, Signal.AGAIN, id="killed-after-the-flip"),
        pytest.param(Phase.ARMING, Slot.B, "new", True, Signal.BOOTED, id="power-cut-after-the-flip"),
        pytest.param(Phase.TRIAL, Slot.A, "old", True, Signal.AGAIN, id="reboot-has-not-happened"),
        pytest.param(Phase.TRIAL, Slot.B, "new", True, Signal.BOOTED, id="booted"),
        pytest.param(Phase.TRIAL, Slot.A, "new", True, Signal.FELL_BACK, id="fell-back"),
        pytest.param(Phase.TRIAL, Slot.A, "new", False, Signal.FELL_BACK, id="fell-back-and-disarmed"),
        pytest.param(Phase.TRIAL, Slot.B, "old", True, Signal.LOST, id="same-boot-in-the-other-slot"),
        pytest.param(Phase.PROVING, Slot.B, "old", True, Signal.AGAIN, id="killed-while-proving"),
        pytest.param(Phase.PROVING, Slot.A, "new", False, Signal.FELL_BACK, id="fell-back-while-proving"),
        pytest.param(Phase.ROLLING_BACK, Slot.A, "new", False, Signal.AGAIN, id="returned"),
    ],
)
def test_a_restart_is_taken_up_by_where_the_machine_came_up(
    phase: Phase, running: Slot, boot_id: str, *, armed: bool, signal: Signal
) -> None:
    facts = BootFacts(running=running, boot_id=boot_id, armed=armed)

    assert machine.resume(record(phase), facts) is signal


@pytest.mark.parametrize(("boots", "signal"), [(1, Signal.AGAIN), (2, Signal.AGAIN), (3, Signal.BOOT_LOOP)])
def test_the_fourth_boot_of_an_unproven_slot_is_a_boot_loop(boots: int, signal: Signal) -> None:
    facts = BootFacts(running=Slot.B, boot_id="new", armed=True)

    assert machine.resume(record(Phase.PROVING, boots=boots), facts) is signal


def test_too_many_installs_or_moves_end_the_update() -> None:
    here = BootFacts(running=Slot.A, boot_id="old", armed=False)

    assert machine.resume(record(Phase.FLASHING, install_attempts=machine.MAX_INSTALLS), here) is Signal.LOOPED
    assert machine.resume(record(Phase.STAGED, moves=machine.MAX_MOVES), here) is Signal.LOOPED


def test_what_is_pending_or_final_is_not_taken_up() -> None:
    here = BootFacts(running=Slot.A, boot_id="old", armed=False)

    assert machine.resume(record(Phase.PENDING), here) is None
    assert machine.resume(record(Phase.COMPLETED), here) is None
