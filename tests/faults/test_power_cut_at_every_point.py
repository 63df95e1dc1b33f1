"""The power goes, or the executor is killed, at every single moment of an update; in memory, so at all of them.

A moment is before and after each effect and each write of a state file. Whatever the moment: after the power is back
the update ends by itself in Completed or RolledBack, the node runs a proven slot, and can take the next order.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deploy.local.simulated import SimulatedNode
from shared.states import EventKind, Phase
from tests.support.updates import told, update, update_order

Script = Callable[[SimulatedNode], None]


def good(node: SimulatedNode) -> None:
    """Version 2.0.0 works."""


def unhealthy(node: SimulatedNode) -> None:
    """Version 2.0.0 boots and is not well."""
    node.machine.unhealthy["2.0.0"] = "service"


def dead(node: SimulatedNode) -> None:
    """Version 2.0.0 does not come up."""
    node.machine.dead.add("2.0.0")


def points_of(script: Script) -> int:
    """Return how many moments an undisturbed run has."""
    node = SimulatedNode()
    script(node)
    before = node.machine.points
    node.desk.take(update_order())
    node.run_until_settled()
    return node.machine.points - before


def run_with_cut(script: Script, cut: int, again: int | None = None, *, only_killed: bool = False) -> SimulatedNode:
    """Run an update that is cut at moment ``cut``, and once more ``again`` moments later; then let it settle."""
    node = SimulatedNode(only_killed=only_killed)
    script(node)
    node.desk.take(update_order())
    node.machine.cuts = [cut] if again is None else [cut, again]
    node.run_until_settled()
    node.machine.cuts.clear()
    return node


def assert_sound(node: SimulatedNode) -> None:
    """The update has ended in one final state, and the node stands on a proven slot."""
    record = node.desk.status("order-1")
    assert record.phase in (Phase.COMPLETED, Phase.ROLLED_BACK)
    assert record.settled
    assert node.machine.running in node.machine.good
    assert {event.phase for event in told(node, EventKind.OUTCOME)} == {record.phase}
    assert all(status.successful or not status.bootable for status in node.machine.slots.values())
    assert node.state.book.state.boot_counter == 0
    node.desk.take(update_order("order-2", 2, update("3.0.0")))
    node.run_until_settled()
    assert node.desk.status("order-2").phase is Phase.COMPLETED


@pytest.mark.parametrize("only_killed", [False, True], ids=["power-cut", "kill-9"])
@pytest.mark.parametrize("script", [good, unhealthy, dead], ids=lambda s: s.__name__)
def test_an_update_ends_soundly_wherever_it_is_cut(script: Script, *, only_killed: bool) -> None:
    points = points_of(script)

    for cut in range(points):
        assert_sound(run_with_cut(script, cut, only_killed=only_killed))

    assert points > 30
    print(f"{script.__name__}: {points} moments, all sound")  # noqa: T201 - the figure is the result


@pytest.mark.parametrize("script", [good, unhealthy, dead], ids=lambda s: s.__name__)
def test_a_kill_alone_changes_nothing_about_the_outcome(script: Script) -> None:
    undisturbed = SimulatedNode()
    script(undisturbed)
    undisturbed.desk.take(update_order())
    undisturbed.run_until_settled()

    ends = {
        run_with_cut(script, cut, only_killed=True).desk.status("order-1").phase for cut in range(points_of(script))
    }

    assert ends == {undisturbed.desk.status("order-1").phase}


@pytest.mark.parametrize("script", [good, unhealthy], ids=lambda s: s.__name__)
def test_an_update_ends_soundly_when_the_power_goes_again_while_it_recovers(script: Script) -> None:
    points = points_of(script)

    for cut in range(0, points, 3):
        for again in range(0, 12, 2):
            assert_sound(run_with_cut(script, cut, again))


def test_an_unproven_slot_is_never_booted_more_than_three_times() -> None:
    points = points_of(dead)

    for cut in range(points):
        node = run_with_cut(dead, cut)
        assert node.machine.failed_boots <= 3
