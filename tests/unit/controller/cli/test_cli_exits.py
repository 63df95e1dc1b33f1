"""Exit codes: scripts rely on each of these numbers."""

from __future__ import annotations

import pytest

from controller.cli.exits import Exit, of_error, of_rollout, of_schedule, of_target, worst
from shared.errors import all_errors
from shared.states import RolloutState, ScheduleState, TargetState


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("internal", 1),
        ("invalid_input", 2),
        ("not_found", 3),
        ("not_allowed", 4),
        ("bad_signature", 4),
        ("conflict", 5),
        ("already_exists", 5),
        ("stale_version", 5),
        ("stale_order", 5),
        ("unreachable", 6),
        ("tls_refused", 6),
        ("source_unreachable", 6),
        ("slot_in_use", 10),
        ("bootloader_error", 10),
        ("image_refused", 15),
        ("digest_mismatch", 15),
        ("denied_version", 15),
        ("wait_timeout", 124),
    ],
)
def test_an_error_ends_with_the_code_of_its_family(kind: str, code: int) -> None:
    assert of_error(all_errors()[kind]()) == code


def test_every_error_has_a_code_and_only_the_root_is_a_bug() -> None:
    codes = {kind: of_error(cls()) for kind, cls in all_errors().items()}

    assert [kind for kind, code in codes.items() if code is Exit.BUG] == ["internal"]
    assert Exit.DONE not in codes.values()


@pytest.mark.parametrize(
    ("state", "error_kind", "code"),
    [
        (ScheduleState.COMPLETED, "", 0),
        (ScheduleState.FAILED, "hook_failed", 10),
        (ScheduleState.FAILED, "source_unreachable", 10),
        (ScheduleState.FAILED, "a_kind_of_tomorrow", 10),
        (ScheduleState.FAILED, "no_report", 6),
        (ScheduleState.FAILED, "unhealthy", 14),
        (ScheduleState.FAILED, "digest_mismatch", 15),
        (ScheduleState.ROLLED_BACK, "unhealthy", 11),
        (ScheduleState.ROLLED_BACK, "fell_back", 11),
        (ScheduleState.CANCELLED, "", 13),
    ],
)
def test_a_schedule_ends_with_the_code_of_its_state(state: ScheduleState, error_kind: str, code: int) -> None:
    assert of_schedule(state, error_kind) == code


@pytest.mark.parametrize(
    ("state", "error_kind", "code"),
    [
        (TargetState.SUCCEEDED, "", 0),
        (TargetState.ALREADY_THERE, "", 0),
        (TargetState.FAILED, "slot_error", 10),
        (TargetState.FAILED, "unhealthy", 14),
        (TargetState.REFUSED, "denied_version", 15),
        (TargetState.REFUSED, "stale_order", 10),
        (TargetState.ROLLED_BACK, "unhealthy", 11),
        (TargetState.CANCELLED, "", 13),
        (TargetState.UNKNOWN, "", 6),
    ],
)
def test_a_nodes_turn_ends_with_the_code_of_its_state(state: TargetState, error_kind: str, code: int) -> None:
    assert of_target(state, error_kind) == code


def test_every_final_state_that_is_not_good_is_told_from_success() -> None:
    for state in TargetState:
        if state.final:
            assert (of_target(state, "") is Exit.DONE) == state.good


def test_many_turns_end_with_the_worst_of_them() -> None:
    every = [of_target(state, "") for state in TargetState]

    assert worst([Exit.DONE, Exit.CANCELLED, Exit.ROLLED_BACK, Exit.FAILED]) is Exit.ROLLED_BACK
    assert worst([Exit.DONE, Exit.DONE]) is Exit.DONE
    assert worst([]) is Exit.DONE
    assert worst([*every, Exit.UNHEALTHY, Exit.IMAGE_REFUSED]) is Exit.UNHEALTHY


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (RolloutState.SUCCEEDED, 0),
        (RolloutState.HALTED, 12),
        (RolloutState.ABORTED, 13),
        (RolloutState.ROLLED_BACK, 11),
    ],
)
def test_a_rollout_ends_with_the_code_of_its_state(state: RolloutState, code: int) -> None:
    assert of_rollout(state) == code
