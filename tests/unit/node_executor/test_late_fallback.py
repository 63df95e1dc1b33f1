"""A slot that failed to prove itself, was kept, and is left by firmware in the end (rule 4)."""

from __future__ import annotations

from deploy.local.simulated import SimulatedNode
from shared.slots import Slot
from shared.states import EventKind, RollbackType
from tests.support.updates import told, update, update_order


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
