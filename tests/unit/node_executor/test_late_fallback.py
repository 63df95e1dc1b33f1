"""A slot that failed to prove itself, was kept, and is left by firmware in the end (rule 4)."""

from __future__ import annotations

from datetime import timedelta

from deploy.local.simulated import SimulatedNode
from shared.slots import Slot, SlotStatus
from shared.states import EventKind, RollbackType
from tests.support.updates import NOON, told, update, update_order


def kept_unhealthy() -> SimulatedNode:
    """Return a node that runs an unhealthy version without automatic rollback."""
    node = SimulatedNode()
    node.machine.unhealthy["2.0.0"] = "api"
    node.desk.take(update_order(spec=update(auto_rollback=False)))
    node.run_until_settled()
    return node


def running(node: SimulatedNode) -> Slot:
    return node.machine.running


def test_a_kept_slot_that_uses_up_its_boots_is_recorded_as_rolled_back() -> None:
    node = kept_unhealthy()
    assert running(node) is Slot.B
    assert node.state.book.state.boot_counter == 1

    for _ in range(3):
        node.power_cycle()
        node.run_until_settled()

    assert running(node) is Slot.A
    [entry] = node.state.book.state.history
    assert (entry.type, entry.kind, entry.from_version) == (RollbackType.AUTOMATIC, "fell_back", "2.0.0")
    assert "check api is unhealthy" in entry.reason
    assert node.state.book.state.boot_counter == 0
    assert [event.rollback for event in told(node, EventKind.ROLLBACK)] == [entry]


def test_a_late_fallback_is_recorded_once() -> None:
    node = kept_unhealthy()

    for _ in range(6):
        node.power_cycle()

    assert len(node.state.book.state.history) == 1


def test_a_start_with_a_full_state_folder_is_not_the_end() -> None:
    node = kept_unhealthy()
    node.book_file.full = True
    for _ in range(3):
        node.power_cycle()

    rest = node.advance()
    node.book_file.full = False
    node.start_executor()

    assert rest is None
    assert len(node.state.book.state.history) == 1


def test_an_update_after_the_fallback_starts_from_the_proven_slot() -> None:
    node = kept_unhealthy()
    for _ in range(3):
        node.power_cycle()

    node.desk.take(update_order("order-2", 2, update("3.0.0")))
    node.run_until_settled()

    assert node.machine.contents[node.machine.running] == "3.0.0"
    assert node.machine.good == [Slot.A, Slot.B]


def test_another_update_that_is_refused_meanwhile_does_not_make_the_node_forget_the_trial() -> None:
    node = SimulatedNode()
    node.machine.unhealthy["2.0.0"] = "api"
    node.desk.schedule(update("3.0.0", start_at=NOON + timedelta(hours=2)))
    node.desk.schedule(update(auto_rollback=False))
    node.advance()

    node.clock.forward(7200)
    node.run_until_settled()
    for _ in range(3):
        node.power_cycle()

    assert [event.error_kind for event in told(node, EventKind.OUTCOME)] == ["unhealthy", "slot_in_use"]
    assert running(node) is Slot.A
    assert [entry.kind for entry in node.state.book.state.history] == ["fell_back"]


def test_a_slot_that_is_armed_for_no_update_is_not_left_to_the_next_boot() -> None:
    node = SimulatedNode()
    node.machine.contents[Slot.B] = "2.0.0"
    node.machine.slots[Slot.B] = SlotStatus(slot=Slot.B, flagged=True, priority=3, tries=3, successful=False)

    node.start_executor()
    node.power_cycle()

    assert running(node) is Slot.A
    assert not node.machine.slots[Slot.B].bootable
