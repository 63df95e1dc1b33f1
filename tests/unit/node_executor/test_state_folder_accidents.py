"""A state folder that refuses one write at a bad moment: what was asked is done or not done, never half."""

from __future__ import annotations

import pytest

from deploy.local.simulated import SimulatedNode
from shared.errors import StateFileError
from shared.messages import Event
from shared.states import EventKind, OrderKind, Phase
from tests.support.updates import order, phases, told, update, update_order


class FullOnce(list[Event]):
    """Events of a node whose outbox refuses the first one of a kind."""

    def __init__(self, kind: EventKind) -> None:
        super().__init__()
        self.refuses: EventKind | None = kind

    def append(self, event: Event) -> None:
        """Keep ``event``, or refuse it once."""
        if event.kind is self.refuses:
            self.refuses = None
            raise StateFileError("cannot write to outbox: it is full")
        super().append(event)


def test_an_order_whose_acceptance_is_reported_at_the_second_try_wakes_the_runner() -> None:
    node = SimulatedNode(events=FullOnce(EventKind.ACCEPTED))
    asleep = node.advance()

    with pytest.raises(StateFileError):
        node.desk.take(update_order())
    node.desk.take(update_order())

    assert asleep is None
    assert node.state.woken
    node.run_until_settled()
    assert phases(node)[-1] == "completed"


@pytest.mark.parametrize("effect", ["probe", "flash", "verify"])
def test_a_cancel_that_could_not_be_made_durable_changes_nothing(effect: str) -> None:
    node = SimulatedNode()
    record = node.desk.schedule(update())
    cut_short: list[bool] = []

    def cancel_in_vain() -> None:
        node.journal_file.full = True
        with pytest.raises(StateFileError):
            node.desk.cancel(record.id, "no")
        node.journal_file.full = False
        cut_short.append(node.state.interrupt.is_set())

    node.machine.during[effect] = cancel_in_vain
    node.run_until_settled()

    assert cut_short == [False]
    assert phases(node)[-1] == "completed"


def test_a_cancel_order_that_could_not_be_made_durable_does_not_cut_the_flash_short() -> None:
    node = SimulatedNode()
    node.desk.take(update_order())

    def cancel_in_vain() -> None:
        node.journal_file.full = True
        with pytest.raises(StateFileError):
            node.desk.take(order(OrderKind.CANCEL, "order-2", 2, "order-1"))
        node.journal_file.full = False

    node.machine.during["flash"] = cancel_in_vain
    node.run_until_settled()

    assert phases(node)[-1] == "completed"


def test_a_rollback_that_could_not_be_made_durable_does_not_end_the_proof() -> None:
    node = SimulatedNode()
    node.desk.schedule(update())
    cut_short: list[bool] = []

    def roll_back_in_vain() -> None:
        node.journal_file.full = True
        with pytest.raises(StateFileError):
            node.desk.trigger_rollback("I saw smoke")
        node.journal_file.full = False
        cut_short.append(node.state.interrupt.is_set())

    node.machine.during["health"] = roll_back_in_vain
    node.run_until_settled()

    assert cut_short == [False]
    assert phases(node)[-1] == "completed"


def test_a_schedule_whose_event_could_not_be_kept_stands_and_is_carried_out() -> None:
    node = SimulatedNode(events=FullOnce(EventKind.ACCEPTED))

    record = node.desk.schedule(update())
    node.run_until_settled()

    assert node.desk.status(record.id).phase is Phase.COMPLETED
    assert told(node, EventKind.ACCEPTED) == []


def test_a_full_state_folder_does_not_run_the_post_update_hook_again_and_again() -> None:
    node = SimulatedNode()
    node.desk.schedule(update(post_update_hook="done"))
    node.machine.during["hook:done"] = lambda: setattr(node.journal_file, "full", True)
    rest = node.advance()

    for _ in range(3):
        node.clock.forward(rest or 0)
        rest = node.advance()
    node.journal_file.full = False
    node.run_until_settled()

    assert rest == 10
    assert node.machine.calls.count("hook:done") == 1
    assert node.desk.schedules()[0].settled
