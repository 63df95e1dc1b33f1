"""Schedules, cancels and rollbacks that come through the node's own API."""

from __future__ import annotations

import pytest

from deploy.local.simulated import SimulatedNode
from node_executor.records import MAX_REASON
from shared.errors import AlreadyExistsError, ConflictError, DeniedVersionError, InputError, NotFoundError
from shared.slots import Slot
from shared.states import CancelAnswer, EventKind, OrderKind, Phase, RollbackType
from tests.support.updates import order, phases, told, update, update_order


def test_a_schedule_of_the_node_itself_gets_an_id_of_the_day() -> None:
    node = SimulatedNode()

    first = node.desk.schedule(update())
    second = node.desk.schedule(update("3.0.0"))

    assert (first.id, second.id) == ("sched-20260127-001", "sched-20260127-002")
    assert [r.id for r in node.desk.schedules()] == [second.id, first.id]
    assert node.desk.schedules(limit=1) == [second]
    assert first.as_schedule("node-1").origin == "node"


def test_the_same_key_and_update_give_the_same_schedule() -> None:
    node = SimulatedNode()

    first = node.desk.schedule(update(), key="pipeline-7")
    again = node.desk.schedule(update(), key="pipeline-7")

    assert again == first
    with pytest.raises(AlreadyExistsError, match="pipeline-7"):
        node.desk.schedule(update("3.0.0"), key="pipeline-7")


def test_a_key_too_long_to_be_kept_is_refused() -> None:
    node = SimulatedNode()

    with pytest.raises(InputError, match="has 201 characters"):
        node.desk.schedule(update(), key="k" * 201)

    assert node.desk.schedule(update(), key="k" * 200).key == "k" * 200


def test_an_unknown_schedule_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="sched-1"):
        SimulatedNode().desk.status("sched-1")


def test_a_denied_version_is_refused_at_once() -> None:
    node = SimulatedNode()
    node.machine.unhealthy["2.0.0"] = "service"
    node.desk.schedule(update())
    node.run_until_settled()

    with pytest.raises(DeniedVersionError, match=r"rolled back from it at 2026-01-27T12:00:00Z"):
        node.desk.schedule(update())


@pytest.mark.parametrize("effect", ["probe", "flash", "verify"])
def test_a_cancel_while_an_effect_runs_is_in_time(effect: str) -> None:
    node = SimulatedNode()
    record = node.desk.schedule(update())
    answers: list[CancelAnswer] = []
    node.machine.during[effect] = lambda: answers.append(node.desk.cancel(record.id, "changed my mind")[0])

    node.run_until_settled()

    assert answers == [CancelAnswer.STOPPED]
    outcome = told(node, EventKind.OUTCOME)[0]
    assert (outcome.phase, outcome.reason) == (Phase.CANCELLED, "changed my mind")
    assert node.machine.boots == 1
    assert not node.machine.slots[Slot.B].bootable


@pytest.mark.parametrize("effect", ["arm", "reboot", "health", "mark_good"])
def test_a_cancel_after_arming_is_too_late(effect: str) -> None:
    node = SimulatedNode()
    record = node.desk.schedule(update())
    answers: list[CancelAnswer] = []
    node.machine.during[effect] = lambda: answers.append(node.desk.cancel(record.id, "")[0])

    node.run_until_settled()

    assert answers == [CancelAnswer.TOO_LATE]
    assert phases(node)[-1] == "completed"


def test_a_promised_cancel_survives_a_power_cut() -> None:
    node = SimulatedNode()
    record = node.desk.schedule(update())

    def cancel_and_cut() -> None:
        node.desk.cancel(record.id, "no")
        node.machine.cuts = [0]

    node.machine.during["flash"] = cancel_and_cut
    node.run_until_settled()

    assert node.desk.status(record.id).phase is Phase.CANCELLED


def test_cancel_answers_for_what_is_pending_ended_and_unknown() -> None:
    node = SimulatedNode()
    record = node.desk.schedule(update())

    assert node.desk.cancel(record.id, "no")[0] is CancelAnswer.STOPPED
    node.run_until_settled()
    assert node.desk.cancel(record.id, "no")[0] is CancelAnswer.STOPPED
    assert node.desk.cancel("sched-20260127-009", "no") == (CancelAnswer.UNKNOWN, None)
    assert node.machine.calls == []
    assert [event.phase for event in told(node, EventKind.OUTCOME)] == [Phase.CANCELLED]


def test_a_manual_rollback_goes_to_the_other_proven_slot() -> None:
    node = SimulatedNode()
    node.desk.schedule(update())
    node.run_until_settled()

    record = node.desk.trigger_rollback("Application crash")
    node.run_until_settled()

    assert node.machine.running is Slot.A
    assert node.desk.status(record.id).phase is Phase.ROLLED_BACK
    [entry] = node.state.book.state.history
    assert (entry.type, entry.kind, entry.reason) == (RollbackType.MANUAL, "manual", "Application crash")
    assert (entry.from_version, entry.to_version) == ("2.0.0", "1.0.0")
    assert node.state.book.state.denied == ()


def test_a_reason_of_any_length_is_taken_and_cut() -> None:
    node = SimulatedNode()
    node.desk.schedule(update())
    node.run_until_settled()

    record = node.desk.trigger_rollback("smoke " * 2000)
    node.run_until_settled()

    assert node.desk.status(record.id).phase is Phase.ROLLED_BACK
    assert len(node.state.book.state.history[0].reason) == MAX_REASON


def test_a_rollback_without_a_proven_slot_to_go_to_is_a_conflict() -> None:
    node = SimulatedNode()

    with pytest.raises(ConflictError, match="slot B holds no proven system"):
        node.desk.trigger_rollback("why not")


def test_a_rollback_cannot_bounce_back() -> None:
    node = SimulatedNode()
    node.desk.schedule(update())
    node.run_until_settled()
    node.desk.trigger_rollback("first")
    node.run_until_settled()

    with pytest.raises(ConflictError, match="slot B holds no proven system"):
        node.desk.trigger_rollback("second")


@pytest.mark.parametrize("effect", ["health", "mark_good"])
def test_a_rollback_asked_for_while_proving_turns_the_update_back(effect: str) -> None:
    node = SimulatedNode()
    record = node.desk.schedule(update())
    node.machine.during[effect] = lambda: node.desk.trigger_rollback("I saw smoke")

    node.run_until_settled()

    assert node.machine.running is Slot.A
    assert node.desk.status(record.id).phase is Phase.ROLLED_BACK
    [entry] = node.state.book.state.history
    assert (entry.type, entry.reason) == (RollbackType.MANUAL, "I saw smoke")


@pytest.mark.parametrize("effect", ["arm", "reboot"])
def test_a_rollback_cannot_interrupt_a_switch(effect: str) -> None:
    node = SimulatedNode()
    node.desk.schedule(update())
    refused: list[str] = []

    def ask() -> None:
        try:
            node.desk.trigger_rollback("now")
        except ConflictError as error:
            refused.append(error.message)

    node.machine.during[effect] = ask
    node.run_until_settled()

    assert len(refused) == 1
    assert phases(node)[-1] == "completed"


def test_a_rollback_order_reports_its_own_outcome() -> None:
    node = SimulatedNode()
    node.desk.take(update_order("order-1", 1))
    node.run_until_settled()

    node.desk.take(order(OrderKind.ROLLBACK, "order-2", 2, reason="fleet rollback"))
    node.run_until_settled()

    outcomes = [(event.order_id, event.phase) for event in told(node, EventKind.OUTCOME)]
    assert outcomes == [("order-1", Phase.COMPLETED), ("order-2", Phase.ROLLED_BACK)]


def test_a_rollback_order_on_an_update_on_trial_ends_both() -> None:
    node = SimulatedNode()
    node.desk.take(update_order("order-1", 1))
    rollback = order(OrderKind.ROLLBACK, "order-2", 2, reason="fleet rollback")
    node.machine.during["health"] = lambda: node.desk.take(rollback)

    node.run_until_settled()

    outcomes = {(event.order_id, event.phase) for event in told(node, EventKind.OUTCOME)}
    assert outcomes == {("order-1", Phase.ROLLED_BACK), ("order-2", Phase.ROLLED_BACK)}
