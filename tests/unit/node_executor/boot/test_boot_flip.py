"""The flip itself: what it writes, what it leaves alone, and which disks it refuses."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from node_executor.boot.control import GptBootControl
from node_executor.boot.disk import FileDisk, open_disk
from node_executor.boot.flip import flip, repair
from node_executor.boot.gpt import Gpt, Table, read_gpt
from shared.errors import BootloaderError
from shared.slots import Slot
from tests.support.gpt_changes import arm, mark_good
from tests.support.gpt_disks import ARRAY, MemoryDisk, Write, provisioned_file, provisioned_image


def gpt_of(path: Path) -> Gpt:
    with open_disk(path, writable=False) as disk:
        return read_gpt(disk)


def sgdisk(*arguments: str) -> None:
    subprocess.run(["sgdisk", *arguments], check=True, capture_output=True)


def test_a_flip_writes_four_sectors_and_turns_to_the_other_array() -> None:
    disk = MemoryDisk(provisioned_image())

    arm(Slot.B)(disk)

    last = disk.sectors - 1
    written = [event.lba for event in disk.log if isinstance(event, Write)]
    # The spare array is blank on a new disk, so that all of its used sectors are written: one, with four partitions.
    assert written == [2, 1, last - ARRAY, last]


def test_flips_use_the_two_arrays_in_turn() -> None:
    disk = MemoryDisk(provisioned_image())
    named = [int.from_bytes(disk.sector(1)[72:80], "little")]

    for step in (arm(Slot.B), mark_good(Slot.B), arm(Slot.A)):
        step(disk)
        named.append(int.from_bytes(disk.sector(1)[72:80], "little"))

    assert named == [34, 2, 34, 2]


def test_arming_an_armed_slot_writes_nothing() -> None:
    disk = MemoryDisk(provisioned_image())
    arm(Slot.B)(disk)
    disk.log.clear()

    arm(Slot.B)(disk)

    assert [event for event in disk.log if isinstance(event, Write)] == []


def test_a_flip_keeps_all_that_is_not_a_slot_attribute(tmp_path: Path) -> None:
    path = provisioned_file(tmp_path)
    sgdisk("--attributes=2:set:60", "--attributes=3:set:0", "--attributes=1:set:2", str(path))
    before = gpt_of(path).current.partitions()

    GptBootControl(path).arm(Slot.B)

    after = gpt_of(path).current.partitions()
    assert {n: replace(p, attributes=0) for n, p in after.items()} == {
        n: replace(p, attributes=0) for n, p in before.items()
    }
    assert (after[1].attributes, after[2].attributes >> 60 & 1, after[3].attributes & 1) == (4, 1, 1)


def test_other_tools_can_edit_a_flipped_disk_and_flips_go_on(tmp_path: Path) -> None:
    path = provisioned_file(tmp_path)
    control = GptBootControl(path)
    control.arm(Slot.B)

    sgdisk("--change-name=4:renamed", str(path))
    control.mark_good(Slot.B)

    assert gpt_of(path).in_step
    assert gpt_of(path).current.partitions()[4].name == "renamed"
    assert control.status()[Slot.B].successful


def test_a_disk_that_was_grown_keeps_working(tmp_path: Path) -> None:
    path = provisioned_file(tmp_path)
    os.truncate(path, path.stat().st_size + (1 << 20))

    GptBootControl(path).arm(Slot.B)

    assert gpt_of(path).in_step
    assert GptBootControl(path).status()[Slot.B].flagged


@pytest.mark.parametrize("lba", [1, 2, -1, -1 - ARRAY], ids=["header", "entries", "backup header", "backup entries"])
def test_repair_restores_either_copy(lba: int) -> None:
    disk = MemoryDisk(provisioned_image())
    arm(Slot.B)(disk)
    whole, where = disk.image(), lba % disk.sectors
    disk.changed[where] = b"\xee" * 512
    opener = disk.opener()

    with opener(Path("in-memory"), writable=True) as opened:
        first, second = repair(opened), repair(opened)
        gpt = read_gpt(opened)

    assert (first, second) == (True, False)
    assert gpt.in_step
    assert gpt.current.array == whole[2 * 512 : 2 * 512 + 128 * 128]


def test_a_disk_without_shadow_array_is_refused_and_the_cure_works(tmp_path: Path) -> None:
    path = tmp_path / "plain.img"
    path.write_bytes(bytes(4 << 20))
    slots = ["--new=1:2048:+64K", "--new=2:0:+64K", "--new=3:0:+64K", "--attributes=2:=:0102000000000004"]
    sgdisk("--clear", *slots, str(path))
    before = path.read_bytes()

    with pytest.raises(BootloaderError, match="no shadow entry array") as caught:
        GptBootControl(path).arm(Slot.B)
    untouched = path.read_bytes() == before
    sgdisk("--move-main-table=34", str(path))
    GptBootControl(path).arm(Slot.B)

    assert untouched
    assert "sgdisk --move-main-table=34" in caught.value.cure
    assert GptBootControl(path).status()[Slot.B].flagged


def test_disks_with_sectors_of_4096_bytes_flip_too(tmp_path: Path) -> None:
    with open_disk(provisioned_file(tmp_path), writable=False) as small:
        table = read_gpt(small).current
    path, sectors = tmp_path / "large-sectors.img", 256
    path.write_bytes(bytes(sectors * 4096))
    descriptor = os.open(path, os.O_RDWR)
    disk = FileDisk(path, descriptor, sector_size=4096)
    header = replace(table.header, raw=table.header.raw.ljust(4096, b"\0"), first_usable=10, last_usable=sectors - 6)
    for mine, other, entries in ((1, sectors - 1, 6), (sectors - 1, 1, sectors - 5)):
        disk.write(entries, table.array)
        disk.write(mine, header.at(mine, other, entries, table.array).encode())

    flipped = flip(disk, {3: 4 | 2 << 48 | 3 << 52})
    gpt = read_gpt(disk)
    os.close(descriptor)

    assert flipped
    assert gpt.in_step
    assert isinstance(gpt.primary, Table)
    assert gpt.primary.header.entries_lba == 2
    assert gpt.current.partitions()[3].attributes == 4 | 2 << 48 | 3 << 52
