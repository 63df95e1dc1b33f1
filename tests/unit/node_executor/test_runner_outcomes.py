"""How an update ends, and what is left behind: the runner on a simulated machine."""

from __future__ import annotations

import pytest

from deploy.local.simulated import SimulatedNode
from shared.errors import DigestMismatchError, FleetError, HookError, NodeError, ReadBackError, SourceUnreachableError
from shared.slots import Slot
from shared.states import EventKind, Phase, RollbackType, ScheduleState
from tests.support.updates import phases, told, update, update_order


def test_a_good_update_passes_every_phase_and_is_marked_good() -> None:
    node = SimulatedNode()

    node.desk.take(update_order())
    node.run_until_settled()

    assert phases(node) == [
        "fetching", "flashing", "verifying", "staged", "arming", "trial", "proving", "completed",
    ]  # fmt: skip
    assert node.machine.running is Slot.B
    assert node.machine.good == [Slot.A, Slot.B]
    assert node.state.book.state.boot_counter == 0
    assert node.state.book.state.previous_partition == 2
    outcome = told(node, EventKind.OUTCOME)[0]
    assert (outcome.state, outcome.facts.version) == (ScheduleState.COMPLETED, "2.0.0")


def test_the_boot_is_counted_before_the_attributes_are_flipped() -> None:
    node = SimulatedNode()
    seen: list[int] = []
    node.machine.during["arm"] = lambda: seen.append(node.state.book.state.boot_counter)

    node.desk.take(update_order())
    node.run_until_settled()

    assert seen == [1]


def test_the_inactive_slot_is_retired_before_it_is_written() -> None:
    node = SimulatedNode()
    bootable: list[bool] = []
    node.machine.during["flash"] = lambda: bootable.append(node.machine.slots[Slot.B].bootable)
    node.desk.take(update_order())
    node.run_until_settled()
    node.machine.during["flash"] = lambda: bootable.append(node.machine.slots[Slot.A].bootable)

    node.desk.take(update_order("order-2", 2, update("3.0.0")))
    node.run_until_settled()

    assert bootable == [False, False]
    assert node.machine.running is Slot.A


def test_an_unhealthy_update_rolls_back_and_its_version_is_denied() -> None:
    node = SimulatedNode()
    node.machine.unhealthy["2.0.0"] = "service"

    node.desk.take(update_order(rollout_id="rollout-1"))
    node.run_until_settled()

    assert phases(node)[-2:] == ["rolling_back", "rolled_back"]
    assert node.machine.running is Slot.A
    assert node.machine.good == [Slot.A]
    [entry] = node.state.book.state.history
    assert (entry.type, entry.kind, entry.from_slot, entry.to_slot) == (RollbackType.AUTOMATIC, "unhealthy", "B", "A")
    assert (entry.from_version, entry.to_version, entry.rollout_id) == ("2.0.0", "1.0.0", "rollout-1")
    assert "service" in entry.reason
    assert told(node, EventKind.ROLLBACK)[0].rollback == entry
    assert node.state.book.state.denied[0].version == "2.0.0"


def test_an_unhealthy_update_without_automatic_rollback_stays_and_fails() -> None:
    node = SimulatedNode()
    node.machine.unhealthy["2.0.0"] = "api"

    node.desk.take(update_order(spec=update(auto_rollback=False)))
    node.run_until_settled()

    assert phases(node)[-1] == "failed"
    assert told(node, EventKind.OUTCOME)[0].error_kind == "unhealthy"
    assert node.machine.running is Slot.B
    assert node.machine.good == [Slot.A]
    assert node.state.book.state.history == ()


def test_a_check_that_is_not_critical_only_degrades() -> None:
    node = SimulatedNode()
    node.machine.unhealthy["2.0.0"] = "network"

    node.desk.take(update_order())
    node.run_until_settled()

    outcome = told(node, EventKind.OUTCOME)[0]
    assert (outcome.phase, outcome.health.verdict) == (Phase.COMPLETED, "degraded")


def test_a_version_that_never_starts_the_executor_falls_back_after_three_boots() -> None:
    node = SimulatedNode()
    node.machine.dead.add("2.0.0")

    node.desk.take(update_order())
    node.run_until_settled()

    assert node.machine.failed_boots == 3
    outcome = told(node, EventKind.OUTCOME)[0]
    assert (outcome.phase, outcome.error_kind) == (Phase.ROLLED_BACK, "fell_back")
    assert node.machine.running is Slot.A


def test_another_version_than_the_order_names_is_not_completed() -> None:
    node = SimulatedNode()
    node.machine.during["verify"] = lambda: node.machine.contents.update({Slot.B: "1.9.9"})

    node.desk.take(update_order())
    node.run_until_settled()

    outcome = told(node, EventKind.OUTCOME)[0]
    assert (outcome.phase, outcome.error_kind) == (Phase.ROLLED_BACK, "wrong_version")


def test_an_old_slot_that_is_not_well_either_is_only_recorded() -> None:
    node = SimulatedNode()
    node.machine.unhealthy.update({"2.0.0": "service", "1.0.0": "api"})

    node.desk.take(update_order())
    node.run_until_settled()

    outcome = told(node, EventKind.OUTCOME)[0]
    assert outcome.phase is Phase.ROLLED_BACK
    assert "slot A is not well either" in outcome.reason
    assert node.machine.boots == 3  # the first, the trial, the way back; and no ping-pong


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        pytest.param("flash", DigestMismatchError(), id="digest"),
        pytest.param("verify", ReadBackError(), id="read-back"),
        pytest.param("hook:drain", HookError("cannot run hook drain: exit code 3"), id="pre-update-hook"),
        pytest.param("reboot", NodeError("cannot reboot: refused"), id="reboot-refused"),
    ],
)
def test_an_error_before_the_switch_fails_and_leaves_nothing_armed(effect: str, error: FleetError) -> None:
    node = SimulatedNode()
    node.machine.failures[effect] = [error]

    node.desk.take(update_order(spec=update(pre_update_hook="drain")))
    node.run_until_settled()

    outcome = told(node, EventKind.OUTCOME)[0]
    assert (outcome.phase, outcome.error_kind, outcome.reason) == (Phase.FAILED, error.kind, str(error))
    node.power_cycle()
    assert node.machine.running is Slot.A
    assert node.machine.good == [Slot.A]


def test_an_unreachable_source_is_tried_again_with_growing_pauses() -> None:
    node = SimulatedNode()
    node.machine.failures["probe"] = [SourceUnreachableError() for _ in range(3)]
    node.desk.take(update_order(spec=update(pre_update_hook="drain")))

    pauses = []
    for _ in range(3):
        pauses.append(node.advance() or 0)
        node.clock.forward(pauses[-1])
    node.run_until_settled()

    assert pauses == [0.5, 1.0, 2.0]
    assert phases(node)[-1] == "completed"
    assert node.machine.calls.count("hook:drain") == 1


def test_a_source_that_stays_unreachable_is_given_up() -> None:
    node = SimulatedNode()
    node.machine.failures["probe"] = [SourceUnreachableError() for _ in range(node.config.transport_tries)]

    node.desk.take(update_order())
    node.run_until_settled()

    outcome = told(node, EventKind.OUTCOME)[0]
    assert (outcome.phase, outcome.error_kind) == (Phase.FAILED, "source_unreachable")
    assert node.machine.contents[Slot.B] is None


def test_a_failing_post_update_hook_is_told_and_changes_nothing() -> None:
    node = SimulatedNode()
    node.machine.failures["hook:undrain"] = [HookError("cannot run hook undrain: exit code 1")]

    node.desk.take(update_order(spec=update(post_update_hook="undrain")))
    node.run_until_settled()

    outcome = told(node, EventKind.OUTCOME)[0]
    assert outcome.phase is Phase.COMPLETED
    assert "undrain" in outcome.reason


def test_a_bug_in_an_effect_ends_the_update_and_not_the_executor() -> None:
    node = SimulatedNode()
    node.machine.during["verify"] = [].pop

    node.desk.take(update_order())
    node.run_until_settled()
    node.desk.take(update_order("order-2", 2))
    node.run_until_settled()

    assert [(event.phase, event.error_kind) for event in told(node, EventKind.OUTCOME)] == [
        (Phase.FAILED, "internal"),
        (Phase.COMPLETED, ""),
    ]


def test_a_reboot_that_does_not_come_fails_and_disarms() -> None:
    node = SimulatedNode()
    node.desk.take(update_order())

    rest = node.runner.advance()
    node.machine.reboot_requested = ""
    node.clock.forward(rest or 0)
    node.run_until_settled()

    outcome = told(node, EventKind.OUTCOME)[0]
    assert (outcome.phase, outcome.error_kind) == (Phase.FAILED, "node_error")
    assert node.machine.good == [Slot.A]
    assert not node.machine.slots[Slot.B].bootable
