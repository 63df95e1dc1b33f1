"""What every boot control promises. Add implementations in ``tests/support/boot_control_benches.py``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node_executor.ports import BootControl
from shared.errors import BootloaderError
from shared.slots import MAX_TRIES, Slot, SlotStatus
from tests.support.boot_control_benches import BENCHES, BootControlBench

Action = Callable[[BootControlBench], object]


def on_control(name: str, *arguments: Slot) -> Action:
    return lambda bench: getattr(bench.control(), name)(*arguments)


ACTIONS: dict[str, Action] = {
    **{f"arm {slot}": on_control("arm", slot) for slot in Slot},
    **{f"mark {slot} good": on_control("mark_good", slot) for slot in Slot},
    **{f"retire {slot}": on_control("retire", slot) for slot in Slot},
    "repair": on_control("repair"),
    "boot": lambda bench: bench.boot(),
}


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> BootControlBench:
    return BENCHES[request.param](tmp_path)


def retired(slot: Slot) -> SlotStatus:
    return SlotStatus(slot=slot, flagged=False, priority=0, tries=0, successful=False)


def is_chosen(control: BootControl, slot: Slot) -> bool:
    """Whether both the flag and the priority name ``slot`` and only ``slot``."""
    mine, other = control.status()[slot], control.status()[slot.other()]
    return mine.flagged and not other.flagged and mine.priority > other.priority


def test_a_fresh_machine_has_slot_a_proven_and_slot_b_retired(bench: BootControlBench) -> None:
    status = bench.control().status()

    assert is_chosen(bench.control(), Slot.A)
    assert status[Slot.A].successful
    assert status[Slot.B] == retired(Slot.B)
    assert bench.boot() is Slot.A


@pytest.mark.parametrize("tries", [1, MAX_TRIES, 15])
def test_an_armed_slot_is_chosen_unproven_with_the_other_as_fallback(bench: BootControlBench, tries: int) -> None:
    bench.control().arm(Slot.B, tries=tries)

    status = bench.control().status()
    assert is_chosen(bench.control(), Slot.B)
    assert (status[Slot.B].tries, status[Slot.B].successful) == (tries, False)
    assert status[Slot.A].successful
    assert status[Slot.A].bootable


def test_an_armed_slot_boots_as_often_as_it_has_tries_then_firmware_falls_back(bench: BootControlBench) -> None:
    bench.control().arm(Slot.B, tries=2)

    boots = [bench.boot() for _ in range(4)]

    assert boots == [Slot.B, Slot.B, Slot.A, Slot.A]
    assert is_chosen(bench.control(), Slot.A)
    assert not bench.control().status()[Slot.B].bootable


def test_arming_again_gives_all_tries_back(bench: BootControlBench) -> None:
    bench.control().arm(Slot.B)
    bench.boot()

    bench.control().arm(Slot.B)

    assert bench.control().status()[Slot.B].tries == MAX_TRIES


def test_arming_is_refused_when_nothing_proven_would_be_left(bench: BootControlBench) -> None:
    before = bench.control().status()

    with pytest.raises(BootloaderError, match=r"slot B.* not proven"):
        bench.control().arm(Slot.A)

    assert bench.control().status() == before


def test_a_slot_marked_good_is_proven_and_a_proven_other_stays_as_fallback(bench: BootControlBench) -> None:
    bench.control().arm(Slot.B)
    bench.boot()

    bench.control().mark_good(Slot.B)

    status = bench.control().status()
    assert is_chosen(bench.control(), Slot.B)
    assert (status[Slot.B].successful, status[Slot.B].tries) == (True, 0)
    assert (status[Slot.A].successful, status[Slot.A].bootable) == (True, True)


def test_marking_a_slot_good_retires_an_unproven_other(bench: BootControlBench) -> None:
    bench.control().arm(Slot.B)

    bench.control().mark_good(Slot.A)

    assert is_chosen(bench.control(), Slot.A)
    assert bench.control().status()[Slot.B] == retired(Slot.B)


def test_retiring_the_chosen_slot_switches_back(bench: BootControlBench) -> None:
    bench.control().arm(Slot.B)
    bench.boot()

    bench.control().retire(Slot.B)

    assert is_chosen(bench.control(), Slot.A)
    assert bench.control().status()[Slot.B] == retired(Slot.B)
    assert bench.boot() is Slot.A


def test_retiring_is_refused_when_the_other_slot_is_not_proven(bench: BootControlBench) -> None:
    before = bench.control().status()

    with pytest.raises(BootloaderError, match=r"slot B.* not proven"):
        bench.control().retire(Slot.A)

    assert bench.control().status() == before


@pytest.mark.parametrize("name", ["arm B", "mark A good", "retire B"])
def test_a_change_that_is_repeated_changes_nothing(bench: BootControlBench, name: str) -> None:
    ACTIONS[name](bench)
    once = bench.control().status()

    ACTIONS[name](bench)

    assert bench.control().status() == once


def test_repair_of_a_healthy_machine_writes_nothing(bench: BootControlBench) -> None:
    bench.control().arm(Slot.B)
    before = bench.control().status()

    repaired = bench.control().repair()

    assert not repaired
    assert bench.control().status() == before


@pytest.mark.parametrize("kind", BENCHES)
@settings(max_examples=30, deadline=None)
@given(names=st.lists(st.sampled_from(sorted(ACTIONS)), max_size=8))
def test_no_sequence_of_calls_and_boots_leaves_the_machine_without_one_choice(kind: str, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = BENCHES[kind](Path(folder))

        for name in names:
            try:
                ACTIONS[name](bench)
            except BootloaderError as refusal:
                assert "not proven" in refusal.message  # noqa: PT017 - a refusal is right; what follows must hold anyway
            status = bench.control().status()

            assert sum(is_chosen(bench.control(), slot) for slot in Slot) == 1
            assert any(one.successful and one.bootable for one in status.values())
        assert bench.boot() is not None
