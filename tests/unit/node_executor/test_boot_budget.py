"""At most three boots of an unproven slot (requirement R2), whoever counts them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.local.simulated import SimulatedNode
from shared.slots import Slot
from shared.states import EventKind, Phase
from tests.support.updates import told, update_order


@pytest.mark.parametrize(("counts_tries", "kind"), [(True, "fell_back"), (False, "boot_loop")])
def test_a_system_that_dies_while_it_is_proven_is_left_after_three_boots(kind: str, *, counts_tries: bool) -> None:
    node = SimulatedNode()
    node.machine.counts_tries = counts_tries
    node.machine.panics.add("2.0.0")

    node.desk.take(update_order())
    node.run_until_settled()

    outcome = told(node, EventKind.OUTCOME)[0]
    assert (outcome.phase, outcome.error_kind) == (Phase.ROLLED_BACK, kind)
    assert node.machine.running is Slot.A
    assert node.machine.calls.count("health") == 3 + 1  # three in the new slot, one in the old
    assert node.state.book.state.boot_counter == 0


def test_every_boot_is_counted_before_health_is_asked() -> None:
    node = SimulatedNode()
    node.machine.panics.add("2.0.0")
    counted: list[int] = []

    def watch(effect: str) -> None:
        if effect == "health" and node.machine.running is Slot.B:
            counted.append(node.state.book.state.boot_counter)

    node.machine.watch = watch
    node.desk.take(update_order())
    node.run_until_settled()

    assert counted == [1, 2, 3]


def test_boots_that_died_before_the_executor_started_are_counted_as_firmware_has_counted_them() -> None:
    node = SimulatedNode()
    counted: list[int] = []

    def lose_two_boots() -> None:
        node.machine.slots[Slot.B] = replace(node.machine.slots[Slot.B], tries=1)

    def watch(effect: str) -> None:
        if effect == "mark_good":
            counted.append(node.state.book.state.boot_counter)

    node.machine.during["reboot"] = lose_two_boots
    node.machine.watch = watch
    node.desk.take(update_order())
    node.run_until_settled()

    assert counted == [3]
    assert node.desk.schedules()[0].boots == 3
    assert node.desk.schedules()[0].phase is Phase.COMPLETED
