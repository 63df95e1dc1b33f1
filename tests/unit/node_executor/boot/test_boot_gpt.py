"""Reading partition tables, valid and damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node_executor.boot.disk import open_disk
from node_executor.boot.geometry import slot_region
from node_executor.boot.gpt import Damage, Gpt, Table, read_gpt
from node_executor.flash.region import SlotRegion
from shared.errors import BootloaderError, SlotVanishedError
from shared.slots import Slot
from tests.support.gpt_disks import ARRAY, SECTOR, MemoryDisk, provisioned_file, provisioned_image

MIB = 1 << 20


def gpt_of(path: Path) -> Gpt:
    with open_disk(path, writable=False) as disk:
        return read_gpt(disk)


def spoiled(path: Path, offset: int) -> Path:
    """Flip one byte; negative offsets count from the end."""
    image = bytearray(path.read_bytes())
    image[offset] ^= 0xFF
    path.write_bytes(image)
    return path


def test_partitions_are_read_as_sgdisk_wrote_them(tmp_path: Path) -> None:
    gpt = gpt_of(provisioned_file(tmp_path))

    found = gpt.current.partitions()

    assert [(number, p.name) for number, p in found.items()] == [
        (1, "matic-boot"),
        (2, "matic-a"),
        (3, "matic-b"),
        (4, "matic-data"),
    ]
    assert str(found[1].type_guid).upper() == "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
    assert (found[2].first_lba, found[2].last_lba) == (2 * MIB // SECTOR, 3 * MIB // SECTOR - 1)
    assert gpt.in_step


def test_headers_encode_to_what_was_read() -> None:
    disk = MemoryDisk(provisioned_image())
    opener = disk.opener()

    with opener(Path("in-memory"), writable=False) as opened:
        gpt = read_gpt(opened)

    assert isinstance(gpt.primary, Table)
    assert isinstance(gpt.backup, Table)
    assert gpt.primary.header.encode() == disk.sector(1)
    assert gpt.backup.header.encode() == disk.sector(disk.sectors - 1)


@pytest.mark.parametrize(
    ("offset", "reason"),
    [
        pytest.param(SECTOR, "no partition table header in sector 1", id="signature"),
        pytest.param(SECTOR + 12, "damaged partition table header in sector 1", id="header size"),
        pytest.param(SECTOR + 40, "damaged partition table header in sector 1", id="header field"),
        pytest.param((2 + ARRAY) * SECTOR + 300, "damaged partition entries in sector 34", id="entries"),
    ],
)
def test_a_damaged_primary_copy_is_told_and_the_backup_counts(tmp_path: Path, offset: int, reason: str) -> None:
    path = provisioned_file(tmp_path)
    whole = gpt_of(path).current.partitions()

    gpt = gpt_of(spoiled(path, offset))

    assert isinstance(gpt.primary, Damage)
    assert reason in gpt.primary.reason
    assert gpt.current.partitions() == whole
    assert not gpt.in_step


@pytest.mark.parametrize("offset", [-SECTOR + 40, -(1 + ARRAY) * SECTOR + 300], ids=["header", "entries"])
def test_a_damaged_backup_copy_is_told_and_the_primary_counts(tmp_path: Path, offset: int) -> None:
    path = provisioned_file(tmp_path)

    gpt = gpt_of(spoiled(path, offset))

    assert isinstance(gpt.backup, Damage)
    assert gpt.current is gpt.primary


def test_a_disk_without_any_valid_table_says_why_and_what_to_do(tmp_path: Path) -> None:
    path = spoiled(spoiled(provisioned_file(tmp_path), SECTOR + 40), -SECTOR + 40)

    with pytest.raises(BootloaderError, match="damaged partition table header in sector 1; damaged") as caught:
        _ = gpt_of(path).current

    assert "provision-disk" in caught.value.cure


def test_a_file_too_small_for_a_table_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "tiny.img"
    path.write_bytes(b"x" * 700)

    with pytest.raises(BootloaderError, match="sector 1 is not on the disk"):
        _ = gpt_of(path).current


def test_slot_regions_lie_side_by_side_in_bytes(tmp_path: Path) -> None:
    path = provisioned_file(tmp_path)

    regions = {slot: slot_region(path, slot) for slot in Slot}

    assert regions == {
        Slot.A: SlotRegion(path=path, offset=2 * MIB, length=MIB),
        Slot.B: SlotRegion(path=path, offset=3 * MIB, length=MIB),
    }


def no_disk(folder: Path) -> Path:
    return folder / "nothing.img"


def no_table(folder: Path) -> Path:
    path = folder / "blank.img"
    path.write_bytes(bytes(MIB))
    return path


@pytest.mark.parametrize("make", [no_disk, no_table], ids=["no disk", "no table"])
def test_a_slot_that_is_not_there_is_named(make: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(SlotVanishedError, match="cannot find slot B: cannot ") as caught:
        slot_region(make(tmp_path), Slot.B)

    assert caught.value.cure
