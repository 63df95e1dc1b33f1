"""The stand-in for firmware: which slot it starts, and what it does to the attributes."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import firmware
from node_executor.boot.flip import flip
from shared.slots import Slot, SlotStatus
from tests.support.gpt_changes import control, start
from tests.support.gpt_disks import MemoryDisk, Write, provisioned_image


def disk_with(**fields: SlotStatus) -> MemoryDisk:
    """Return a disk with these attributes of slots A and B, sensible or not."""
    disk = MemoryDisk(provisioned_image())
    with disk.opener()(Path("in-memory"), writable=True) as opened:
        flip(opened, {status.slot.partition_number: status.attributes() for status in fields.values()})
    return MemoryDisk(disk.image())


def status(slot: Slot, *, priority: int, tries: int = 0, successful: bool = False) -> SlotStatus:
    return SlotStatus(slot=slot, flagged=False, priority=priority, tries=tries, successful=successful)


@pytest.mark.parametrize(
    ("a", "b", "chosen"),
    [
        pytest.param((2, 0, True), (1, 0, True), "A", id="higher priority"),
        pytest.param((1, 0, True), (2, 0, True), "B", id="higher priority is B"),
        pytest.param((1, 0, True), (2, 1, False), "B", id="unproven with a try"),
        pytest.param((1, 0, True), (2, 0, False), "A", id="unproven without a try"),
        pytest.param((0, 0, True), (1, 1, False), "B", id="priority 0 is never started"),
        pytest.param((1, 0, True), (1, 0, True), "A", id="a tie goes to the lower partition"),
    ],
)
def test_the_slot_is_chosen_by_priority_success_and_tries(
    a: tuple[int, int, bool], b: tuple[int, int, bool], chosen: str
) -> None:
    disk = disk_with(
        a=status(Slot.A, priority=a[0], tries=a[1], successful=a[2]),
        b=status(Slot.B, priority=b[0], tries=b[1], successful=b[2]),
    )

    choice = start(disk)

    assert choice.slot == chosen
    assert (choice.offset, choice.length) == ((2 << 20, 1 << 20) if chosen == "A" else (3 << 20, 1 << 20))


def test_a_proven_slot_is_started_without_a_write() -> None:
    disk = MemoryDisk(provisioned_image())

    choice = start(disk)

    assert (choice.slot, choice.tries_left, choice.fell_back) == ("A", None, False)
    assert [event for event in disk.log if isinstance(event, Write)] == []


def test_a_try_is_taken_off_before_the_slot_is_started() -> None:
    disk = MemoryDisk(provisioned_image())
    control(disk).arm(Slot.B, tries=3)

    choice = start(disk)

    assert (choice.slot, choice.tries_left) == ("B", 2)
    assert control(disk).status()[Slot.B].tries == 2


def test_falling_back_takes_flag_and_priority_from_the_slot_that_failed() -> None:
    disk = MemoryDisk(provisioned_image())
    control(disk).arm(Slot.B, tries=1)
    start(disk)

    choice = start(disk)

    after = control(disk).status()
    assert (choice.slot, choice.fell_back) == ("A", True)
    assert (after[Slot.A].flagged, after[Slot.B].flagged, after[Slot.B].priority) == (True, False, 0)


def test_a_machine_without_a_slot_to_start_stays_dark() -> None:
    disk = disk_with(a=status(Slot.A, priority=0), b=status(Slot.B, priority=2))

    with pytest.raises(firmware.NothingBootableError, match="no slot may be started"):
        start(disk)


def test_a_machine_without_a_table_stays_dark(tmp_path: Path) -> None:
    path = tmp_path / "blank.img"
    path.write_bytes(bytes(1 << 20))

    with pytest.raises(firmware.NothingBootableError, match="neither copy"):
        firmware.boot(path)
