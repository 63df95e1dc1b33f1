"""Gates: open, wait or halt, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.rollout.gates import Answer, FailureGate, ProofGate, Scene, SoakGate, StartGate, WindowGate, all_of
from controller.rollout.model import Policy, Rollout, WavePlan
from shared.messages import HealthReport
from shared.states import TargetState, Verdict
from shared.windows import MaintenanceWindow
from tests.support.rollouts import NOW, UPDATE, fleet, node, rollout, seconds

S, F, R, U, C, T, W = (
    TargetState.SUCCEEDED,
    TargetState.FAILED,
    TargetState.REFUSED,
    TargetState.UNKNOWN,
    TargetState.CANCELLED,
    TargetState.ALREADY_THERE,
    TargetState.WAITING,
)


def ended(states: list[TargetState], policy: Policy | None = None) -> Rollout:
    """Return a rollout whose targets stand in ``states``, by rank."""
    planned = rollout(fleet(len(states)), policy)
    turns = (replace(target, state=state) for target, state in zip(planned.targets, states, strict=True))
    return replace(planned, targets=tuple(turns))


def scene(of: Rollout) -> Scene:
    return Scene(of, {}, NOW)


@pytest.mark.parametrize(
    ("policy", "states", "halts"),
    [
        pytest.param(Policy(), [S, F], True, id="by-default-one-failure-is-too-many"),
        pytest.param(Policy(), [S, W], False, id="nothing-failed"),
        pytest.param(Policy(max_failed_percent=25), [S, S, S, F], False, id="exactly-the-share"),
        pytest.param(Policy(max_failed_percent=25), [S, S, F, W], True, id="above-the-share"),
        pytest.param(Policy(max_failed_percent=25), [S, S, U, W], True, id="silence-counts"),
        pytest.param(Policy(max_failed_percent=25), [S, S, R, W], True, id="refusals-count"),
        pytest.param(Policy(max_failed_percent=50), [S, F, C, C], False, id="cancelled-turns-do-not-count"),
        pytest.param(Policy(max_failed_percent=25), [T, T, T, S, F], True, id="who-was-there-dilutes-nothing"),
        pytest.param(Policy(max_failed_percent=25, min_finished=3), [F, S, W], False, id="too-few-have-finished"),
        pytest.param(Policy(max_failed_percent=25, min_finished=2), [F, S, W], True, id="just-enough-have-finished"),
        pytest.param(Policy(max_failed=1), [F, W, W], False, id="number-alone-rules"),
        pytest.param(Policy(max_failed=1), [F, F, S], True, id="above-the-number"),
        pytest.param(Policy(max_failed=1, min_finished=9), [F, F, S], True, id="the-number-needs-no-minimum"),
        pytest.param(Policy(max_failed=5, max_failed_percent=10), [F, S, W], True, id="either-limit-halts"),
        pytest.param(Policy(max_failed_percent=100), [F, F, U], False, id="everything-may-fail"),
    ],
)
def test_the_threshold_looks_at_finished_turns(policy: Policy, states: list[TargetState], halts: bool) -> None:  # noqa: FBT001 - a table
    subject = ended(states, policy)

    reply = FailureGate().ask(scene(subject))

    assert (reply.answer is Answer.HALT) is halts
    assert bool(reply.reason) is halts


def test_a_complete_wave_is_judged_without_a_minimum() -> None:
    subject = ended([F, W, W], Policy(max_failed_percent=25, min_finished=3))

    reply = FailureGate(complete=True).ask(scene(subject))

    assert reply.answer is Answer.HALT


def test_acknowledged_failures_halt_only_with_another_one() -> None:
    subject = ended([F, S, S, S], Policy(max_failed_percent=10))
    known = replace(subject, targets=(replace(subject.targets[0], acknowledged=True), *subject.targets[1:]))
    another = replace(known, targets=(*known.targets[:3], replace(known.targets[3], state=F)))

    before, after = FailureGate().ask(scene(known)), FailureGate().ask(scene(another))

    assert before.answer is Answer.OPEN
    assert after.answer is Answer.HALT
    assert after.reason.startswith("2 of 4 finished nodes failed, more than the 10 % allowed: n")


def test_a_node_that_becomes_unhealthy_after_its_success_counts() -> None:
    subject = ended([S, S])
    sick = subject.targets[0].node_id
    report = HealthReport(verdict=Verdict.UNHEALTHY, checked_at=NOW)

    reply = FailureGate().ask(Scene(subject, {sick: node(sick, health=report)}, NOW))

    assert reply.answer is Answer.HALT
    assert sick in reply.reason


def test_a_reason_names_a_few_nodes_and_counts_the_rest() -> None:
    subject = ended([F, F, F, F, F])

    reply = FailureGate().ask(scene(subject))

    assert reply.reason.count("failed") == 4
    assert reply.reason.endswith("2 more")


def test_a_wave_of_cancelled_turns_proves_nothing() -> None:
    subject = ended([C, W], Policy(waves=(WavePlan(count=1),)))
    known = replace(subject, targets=(replace(subject.targets[0], acknowledged=True), subject.targets[1]))

    fresh, accepted = (ProofGate(subject.waves[0]).ask(scene(each)) for each in (subject, known))

    assert fresh.answer is Answer.HALT
    assert accepted.answer is Answer.OPEN


def test_a_wave_soaks_to_the_second() -> None:
    subject = ended([S], Policy(waves=(WavePlan(percent=100, soak=60),)))
    gate = SoakGate(replace(subject.waves[0], soaking_since=NOW))

    early, due = (gate.ask(Scene(subject, {}, seconds(at))) for at in (59, 60))

    assert (early.answer, early.reason) == (Answer.WAIT, "wave 1 soaks until 2026-01-27 12:01:00 UTC")
    assert due.answer is Answer.OPEN


def test_a_rollout_waits_for_its_start_but_a_direct_update_leaves_that_to_the_node() -> None:
    late = UPDATE.model_copy(update={"start_at": seconds(60)})
    subject = rollout(fleet(1), update=late)

    waits, begins, direct = (
        StartGate().ask(Scene(each, {}, at)).answer
        for each, at in ((subject, NOW), (subject, seconds(60)), (replace(subject, direct=True), NOW))
    )

    assert (waits, begins, direct) == (Answer.WAIT, Answer.OPEN, Answer.OPEN)


def test_a_window_only_informs() -> None:
    window = MaintenanceWindow(start="22:00", minutes=60)
    subject = rollout(fleet(1), update=UPDATE.model_copy(update={"window": window}))

    reply = WindowGate().ask(scene(subject))

    assert reply.answer is Answer.OPEN
    assert "2026-01-27 22:00:00" in reply.reason


def test_one_halt_outweighs_every_wait() -> None:
    subject = ended([F], Policy(waves=(WavePlan(percent=100, soak=60),)))
    soaking = SoakGate(replace(subject.waves[0], soaking_since=NOW))

    halt = all_of([soaking, FailureGate()], scene(subject))
    wait = all_of([soaking, StartGate()], scene(subject))

    assert (halt.answer, wait.answer) == (Answer.HALT, Answer.WAIT)
