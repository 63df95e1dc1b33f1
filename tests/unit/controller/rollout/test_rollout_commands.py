"""Pause, resume, abort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.rollout import commands
from controller.rollout.model import Policy, Rollout, WavePlan
from shared.errors import IllegalTransitionError
from shared.states import (
    CancelAnswer,
    EventKind,
    OrderKind,
    Phase,
    RolloutState,
    ScheduleState,
    TargetState,
    WaveState,
)
from tests.support.rollouts import NOW, UPDATE, Drive, event, fleet, heard, rollout, seconds

WAVES = (WavePlan(count=2, soak=60), WavePlan(percent=100))


def resume(drive: Drive) -> None:
    drive.rollout = commands.resume(drive.rollout, drive.nodes, "seen and accepted")
    drive.settle()


def answer(drive: Drive, name: str, word: CancelAnswer) -> None:
    target = drive.rollout.target(name)
    assert target is not None
    said = event(target, EventKind.CANCEL_ANSWER, 20, cancel_answer=word, order_id=target.cancel_order_id)
    drive.rollout = heard(drive.rollout, [said])
    drive.settle()


def test_a_paused_rollout_takes_back_its_orders_and_gives_new_ones_when_resumed() -> None:
    drive = Drive(fleet(2))
    drive.rollout = commands.pause(drive.rollout, "lunch")
    drive.settle()

    answer(drive, "n0", CancelAnswer.STOPPED)
    paused = {target.node_id: target.state for target in drive.rollout.targets}
    resume(drive)

    assert paused == {"n0": TargetState.WAITING, "n1": TargetState.ORDERED}
    again = drive.rollout.target("n0")
    assert again is not None
    assert (again.state, again.attempts, again.cancel_order_id, again.give_back) == (TargetState.ORDERED, 2, "", False)
    assert drive.orders[-1].kind is OrderKind.UPDATE
    assert len({order.id for order in drive.orders}) == len(drive.orders)


def test_a_new_order_is_heard_even_from_a_node_that_counts_from_one_again() -> None:
    drive = Drive(fleet(1))
    drive.rollout = heard(drive.rollout, [event(drive.rollout.targets[0], EventKind.ACCEPTED, 50)])
    drive.rollout = commands.pause(drive.rollout, "lunch")
    drive.settle()
    answer(drive, "n0", CancelAnswer.STOPPED)
    resume(drive)

    drive.rollout = heard(drive.rollout, [event(drive.rollout.targets[0], EventKind.PHASE, 2, phase=Phase.FETCHING)])

    assert drive.rollout.targets[0].phase is Phase.FETCHING


def test_a_withdrawn_order_that_nobody_took_is_given_back_at_its_deadline() -> None:
    drive = Drive(fleet(1), Policy(accept_deadline=100))
    drive.rollout = commands.pause(drive.rollout, "lunch")

    drive.settle(seconds(50))
    drive.settle(seconds(100))

    assert drive.rollout.targets[0].state is TargetState.WAITING


def test_a_resume_after_a_halt_goes_on_with_the_same_wave_and_soaks_it_anew() -> None:
    drive = Drive(fleet(4), Policy(waves=WAVES, max_in_flight=1))
    drive.finish(ScheduleState.FAILED)
    halted = drive.rollout

    resume(drive)
    resumed = drive.rollout
    drive.finish()

    assert halted.state is RolloutState.HALTED
    assert resumed.state is RolloutState.RUNNING
    assert [wave.state for wave in resumed.waves] == [WaveState.OPEN, WaveState.WAITING]
    assert [target.acknowledged for target in resumed.targets] == [True, False, False, False]
    assert [wave.state for wave in drive.rollout.waves] == [WaveState.SOAKING, WaveState.WAITING]


def test_a_resumed_rollout_halts_again_with_the_next_failure() -> None:
    drive = Drive(fleet(3), Policy(max_in_flight=1))
    drive.finish(ScheduleState.FAILED)
    resume(drive)

    drive.finish(ScheduleState.FAILED)

    assert drive.rollout.state is RolloutState.HALTED
    assert drive.rollout.reason.startswith("2 of 2 finished nodes failed")


def test_a_halt_in_a_soak_soaks_in_full_after_the_resume() -> None:
    drive = Drive(fleet(4), Policy(waves=WAVES))
    drive.finish()
    sick = replace(drive.rollout, targets=(replace(drive.rollout.targets[0], state=TargetState.FAILED),))
    drive.rollout = replace(drive.rollout, targets=sick.targets + drive.rollout.targets[1:])
    drive.settle(seconds(59))

    drive.rollout = commands.resume(drive.rollout, drive.nodes, "seen")
    drive.settle(seconds(59))

    assert drive.rollout.waves[0].soaking_since == seconds(59)


def test_a_resume_from_a_pause_acknowledges_nothing() -> None:
    drive = Drive(fleet(2))
    drive.rollout = commands.pause(drive.rollout, "lunch")
    drive.finish(ScheduleState.FAILED, "n0")

    resume(drive)

    assert drive.rollout.state is RolloutState.HALTED


def test_a_pause_before_the_start_ends_in_scheduled() -> None:
    drive = Drive(fleet(1), update=UPDATE.model_copy(update={"start_at": seconds(60)}))
    drive.rollout = commands.pause(drive.rollout, "wait")
    drive.settle(seconds(61))
    paused = drive.rollout.state

    drive.rollout = commands.resume(drive.rollout, drive.nodes, "go")

    assert paused is RolloutState.PAUSED
    assert drive.rollout.state is RolloutState.SCHEDULED


def test_an_abort_after_a_pause_takes_the_promise_of_another_turn_back() -> None:
    drive = Drive(fleet(1))
    drive.rollout = commands.pause(drive.rollout, "lunch")
    drive.settle()
    drive.rollout = commands.abort(drive.rollout, "no more", NOW)
    drive.settle()

    answer(drive, "n0", CancelAnswer.STOPPED)

    assert drive.rollout.targets[0].state is TargetState.CANCELLED
    assert [order.kind for order in drive.orders] == [OrderKind.UPDATE, OrderKind.CANCEL]


def _pause(subject: Rollout) -> Rollout:
    return commands.pause(subject, "x")


def _resume(subject: Rollout) -> Rollout:
    return commands.resume(subject, {}, "x")


def _abort(subject: Rollout) -> Rollout:
    return commands.abort(subject, "x", NOW)


@pytest.mark.parametrize(
    ("command", "state"),
    [
        pytest.param(_pause, RolloutState.HALTED, id="pause-halted"),
        pytest.param(_pause, RolloutState.SUCCEEDED, id="pause-succeeded"),
        pytest.param(_pause, RolloutState.ABORTED, id="pause-aborted"),
        pytest.param(_resume, RolloutState.SUCCEEDED, id="resume-succeeded"),
        pytest.param(_resume, RolloutState.ABORTED, id="resume-aborted"),
        pytest.param(_resume, RolloutState.ROLLED_BACK, id="resume-rolled-back"),
        pytest.param(_abort, RolloutState.SUCCEEDED, id="abort-succeeded"),
        pytest.param(_abort, RolloutState.ROLLED_BACK, id="abort-rolled-back"),
    ],
)
def test_what_the_state_forbids_is_refused(command: Callable[[Rollout], Rollout], state: RolloutState) -> None:
    subject = rollout(fleet(1), state=state)

    with pytest.raises(IllegalTransitionError) as caught:
        command(subject)

    assert str(state) in caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize(
    ("command", "state"),
    [(_pause, RolloutState.PAUSED), (_resume, RolloutState.RUNNING), (_abort, RolloutState.ABORTED)],
    ids=["pause", "resume", "abort"],
)
def test_doing_it_twice_changes_nothing(command: Callable[[Rollout], Rollout], state: RolloutState) -> None:
    subject = rollout(fleet(1), state=state)

    same = command(subject)

    assert same is subject
