"""The power goes at the moments that matter most, on a real GPT image, with the stand-in for firmware at the next boot.

The sweep over every moment is in memory (test_power_cut_at_every_point); here the disk and the process are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.slots import Slot
from tests.support.real_node import RealNode, Workshop


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def node(workshop: Workshop, tmp_path: Path) -> Iterator[RealNode]:
    real = RealNode(workshop, tmp_path / "node")
    real.start()
    yield real
    real.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "bad", "end"),
    [
        pytest.param("flash.after", False, "completed", id="written-not-journaled"),
        pytest.param("arm.before", False, "rolled_back", id="counted-not-flipped"),
        pytest.param("arm.after", False, "completed", id="flipped-not-journaled"),
        pytest.param("prove.before", False, "completed", id="booted-not-proven"),
        pytest.param("mark_good.after", False, "completed", id="proven-not-journaled"),
        pytest.param("go_back.before", True, "rolled_back", id="condemned-not-flipped"),
        pytest.param("check_old.before", True, "rolled_back", id="returned-not-checked"),
    ],
)
def test_a_power_cut_leaves_a_proven_slot_and_one_outcome(node: RealNode, moment: str, end: str, *, bad: bool) -> None:
    node.hold(moment)
    schedule = node.schedule(node.spec(node.workshop.bad if bad else node.workshop.new))
    node.wait_held(moment)
    boots = len(node.machine.boots)

    node.machine.cut_power()
    node.let_go(moment)
    record = node.wait_final(schedule)

    assert record["phase"] == end, record["reason"]
    assert len(node.machine.boots) > boots
    running = node.machine.boots[-1].slot
    assert running is (Slot.B if end == "completed" else Slot.A)
    assert node.slots()[running].successful
    assert all(status.successful or not status.bootable for status in node.slots().values())
