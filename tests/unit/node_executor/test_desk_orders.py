"""Orders at the desk: durable before the answer, known by id, in order of their numbers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deploy.local.simulated import PowerCut, SimulatedNode
from node_executor.state import NodeConfig
from shared.errors import BootloaderError, EnvelopeError, SignatureError, StateFileError
from shared.images import Image
from shared.messages import Order, UpdateSpec
from shared.slots import Slot
from shared.states import CancelAnswer, EventKind, OrderKind, Phase
from tests.support.updates import NOON, image, order, told, update, update_order


def refusals(node: SimulatedNode) -> list[tuple[str, str]]:
    return [(event.order_id, event.error_kind) for event in told(node, EventKind.REFUSED)]


def test_an_order_is_accepted_after_it_is_durable() -> None:
    node = SimulatedNode()

    node.desk.take(update_order(rollout_id="rollout-1"))

    assert b"order-1" in (node.journal_file.content or b"")
    [event] = told(node, EventKind.ACCEPTED)
    assert (event.order_id, event.rollout_id, event.schedule_id) == ("order-1", "rollout-1", "sched-20260127-001")


def test_an_order_that_cannot_be_made_durable_is_neither_accepted_nor_refused() -> None:
    node = SimulatedNode()
    node.journal_file.full = True

    with pytest.raises(StateFileError):
        node.desk.take(update_order())
    node.journal_file.full = False
    node.desk.take(update_order())

    assert [event.order_id for event in told(node, EventKind.ACCEPTED)] == ["order-1"]
    assert refusals(node) == []


@pytest.mark.parametrize("cut", range(2))
def test_an_order_that_comes_again_after_a_power_cut_is_taken_once(cut: int) -> None:
    node = SimulatedNode()
    node.machine.cuts = [cut]

    with pytest.raises(PowerCut):
        node.desk.take(update_order())
    node.come_back()
    node.desk.take(update_order())
    node.run_until_settled()

    assert len(node.state.journal.records) == 1
    assert node.machine.calls.count("flash") == 1


def test_a_known_order_is_answered_again_and_not_carried_out_again() -> None:
    node = SimulatedNode()
    node.desk.take(update_order())
    node.run_until_settled()
    node.events.clear()

    node.desk.take(update_order())
    node.run_until_settled()

    assert [event.kind for event in node.events] == [EventKind.ACCEPTED, EventKind.OUTCOME]
    assert node.events[1].phase is Phase.COMPLETED
    assert node.machine.calls.count("flash") == 1


def test_a_refused_order_is_refused_again_for_the_same_reason() -> None:
    node = SimulatedNode()
    wrong = update_order(spec=UpdateSpec(image=image(architecture="aarch64")))

    node.desk.take(wrong)
    node.desk.take(wrong)

    assert refusals(node) == [("order-1", "incompatible_image")] * 2
    assert node.state.journal.records == ()


def test_an_unknown_order_with_a_lower_number_is_stale() -> None:
    node = SimulatedNode()
    node.desk.take(update_order("order-7", 7))

    node.desk.take(update_order("order-6", 6))

    assert refusals(node) == [("order-6", "stale_order")]


def test_a_cancel_with_a_lower_number_still_counts() -> None:
    node = SimulatedNode()
    node.desk.take(update_order("order-5", 5, update(needs_grant=True)))
    node.run_until_settled()
    node.desk.take(order(OrderKind.GRANT, "grant-8", 8, "order-0"))

    node.desk.take(order(OrderKind.CANCEL, "cancel-6", 6, "order-5"))
    node.run_until_settled()

    assert told(node, EventKind.CANCEL_ANSWER)[0].cancel_answer is CancelAnswer.STOPPED
    assert node.desk.status("order-5").phase is Phase.CANCELLED


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        pytest.param({"architecture": "aarch64"}, "incompatible_image", id="architecture"),
        pytest.param({"compatible": "gateway-2"}, "incompatible_image", id="model"),
    ],
)
def test_an_image_for_another_kind_of_node_is_refused(fields: dict[str, str], kind: str) -> None:
    node = SimulatedNode(config=NodeConfig(node_id="node-1", compatible="gateway-1"))

    node.desk.take(update_order(spec=UpdateSpec(image=image(**fields))))

    assert refusals(node) == [("order-1", kind)]


@pytest.mark.parametrize("architecture", ["amd64", "x86_64"])
def test_an_image_for_this_node_is_taken_under_any_name_of_its_architecture(architecture: str) -> None:
    node = SimulatedNode(config=NodeConfig(node_id="node-1", compatible="gateway-1"))
    fitting = UpdateSpec(image=image(architecture=architecture, compatible="gateway-1"))

    node.desk.take(update_order(spec=fitting))

    assert refusals(node) == []


def test_an_expired_order_is_refused() -> None:
    node = SimulatedNode()

    node.desk.take(update_order(expires_at=NOON - timedelta(seconds=1)))

    assert refusals(node) == [("order-1", "expired_order")]


def test_a_version_that_was_rolled_back_is_refused_until_the_order_lifts_it() -> None:
    node = SimulatedNode()
    node.machine.unhealthy["2.0.0"] = "service"
    node.desk.take(update_order("order-1", 1))
    node.run_until_settled()
    node.machine.unhealthy.clear()

    node.desk.take(update_order("order-2", 2))
    node.desk.take(update_order("order-3", 3, update(lift_denial=True)))
    node.run_until_settled()

    assert refusals(node) == [("order-2", "denied_version")]
    assert node.desk.status("order-3").phase is Phase.COMPLETED
    assert node.state.book.state.denied == ()


def test_the_same_bytes_under_another_version_are_denied_too() -> None:
    node = SimulatedNode()
    node.machine.unhealthy["2.0.0"] = "service"
    node.desk.take(update_order("order-1", 1))
    node.run_until_settled()
    renamed = Image.model_validate({**image().model_dump(), "version": "2.0.0-again"})

    node.desk.take(update_order("order-2", 2, UpdateSpec(image=renamed)))

    assert refusals(node) == [("order-2", "denied_version")]


def test_no_update_is_taken_while_the_running_slot_is_not_proven() -> None:
    node = SimulatedNode()
    node.machine.unhealthy["2.0.0"] = "service"
    node.desk.take(update_order("order-1", 1, update(auto_rollback=False)))
    node.run_until_settled()

    node.desk.take(update_order("order-2", 2, update("3.0.0")))
    node.run_until_settled()

    assert node.machine.running is Slot.B
    assert refusals(node) == [("order-2", "slot_in_use")]
    assert node.machine.contents[Slot.A] == "1.0.0"


def test_a_second_order_waits_its_turn_and_a_third_replaces_it() -> None:
    node = SimulatedNode()
    node.desk.take(update_order("order-1", 1, update("2.0.0", needs_grant=True)))
    node.run_until_settled()

    node.desk.take(update_order("order-2", 2, update("3.0.0")))
    node.desk.take(update_order("order-3", 3, update("4.0.0")))
    node.desk.take(order(OrderKind.GRANT, "grant-1", 4, "order-1"))
    node.run_until_settled()

    ends = {event.order_id: (event.phase, event.error_kind) for event in told(node, EventKind.OUTCOME)}
    assert ends == {
        "order-1": (Phase.COMPLETED, ""),
        "order-2": (Phase.CANCELLED, "replaced"),
        "order-3": (Phase.COMPLETED, ""),
    }
    assert node.machine.contents[node.machine.running] == "4.0.0"


def test_a_grant_for_an_unknown_or_ended_order_is_refused() -> None:
    node = SimulatedNode()
    node.desk.take(update_order("order-1", 1))
    node.run_until_settled()

    node.desk.take(order(OrderKind.GRANT, "grant-1", 2, "order-9"))
    node.desk.take(order(OrderKind.GRANT, "grant-2", 3, "order-1"))

    assert refusals(node) == [("grant-1", "not_found"), ("grant-2", "conflict")]


def test_an_early_grant_is_remembered() -> None:
    node = SimulatedNode()
    node.desk.take(update_order("order-1", 1, update(needs_grant=True)))

    node.desk.take(order(OrderKind.GRANT, "grant-1", 2, "order-1"))
    node.run_until_settled()

    assert node.desk.status("order-1").phase is Phase.COMPLETED


def test_what_is_no_order_is_reported_with_the_id_that_it_claims() -> None:
    node = SimulatedNode()
    envelope = {"payload": '{"id": "order-9"}'}

    node.desk.refuse(EnvelopeError("cannot read order"), envelope)
    node.desk.refuse(SignatureError("cannot trust order"), envelope)

    assert refusals(node) == [("order-9", "bad_envelope"), ("", "bad_signature")]


def test_a_node_that_cannot_read_its_boot_state_touches_nothing_and_says_so() -> None:
    node = SimulatedNode()
    node.state.trouble = BootloaderError("cannot read the partition table")

    node.desk.take(update_order())
    node.run_until_settled()

    assert refusals(node) == [("order-1", "bootloader_error")]
    assert node.machine.calls == []


def test_an_order_for_another_node_is_not_taken() -> None:
    node = SimulatedNode()
    foreign = Order.model_validate({**update_order().model_dump(), "node_id": "node-2"})

    with pytest.raises(EnvelopeError, match="it is for node-2"):
        node.desk.take(foreign)

    assert node.journal_file.content is None
