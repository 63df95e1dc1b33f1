"""Past the page cache where the disk allows it, through it where not; either way the bytes are right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node_executor.flash.flasher import SlotFlasher
from node_executor.flash.region import SlotRegion
from shared.slots import Slot
from tests.support.flash_disk import FAST, MIB, FlashDisk, image, loop_device, mounted, need_root, run

pytestmark = pytest.mark.root

DATA = os.urandom(6 * MIB + 513)


@pytest.fixture(autouse=True)
def root() -> None:
    need_root()


def resident(path: Path) -> int:
    """Return how many bytes of a file the page cache holds."""
    return int(run("fincore", "--bytes", "--noheadings", "--output", "RES", path))


@pytest.mark.parametrize(
    ("gap", "most"),
    [
        pytest.param(MIB, 0, id="O_DIRECT"),
        pytest.param(1000, 3 * MIB, id="unaligned, so through the cache"),  # large pages at the borders stay
    ],
)
def test_a_flashed_and_verified_slot_leaves_the_page_cache_alone(tmp_path: Path, gap: int, most: int) -> None:
    (tmp_path / "image").write_bytes(DATA)
    with (tmp_path / "backing").open("wb") as backing:
        backing.truncate(48 * MIB)
    run("mkfs.ext4", "-q", tmp_path / "backing")
    with mounted(tmp_path / "backing", tmp_path / "disks", "-o", "loop") as folder:
        disk = FlashDisk(folder / "disk", gap=gap).create()
        run("sync", "--file-system", folder)
        with disk.path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        wanted = image(f"file://{tmp_path}/image", DATA)

        disk.flash(wanted)
        disk.flasher().verify(wanted, Slot.B, disk.progress, disk.cancelled)
        held = resident(disk.path)
        found = disk.read(Slot.B, len(DATA))

    assert held <= most + 64 * 1024
    assert found == DATA


def test_a_disk_with_larger_sectors_is_written_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(DATA)
    (tmp_path / "backing").write_bytes(os.urandom(16 * MIB))
    before = (tmp_path / "backing").read_bytes()
    wanted = image(f"file://{tmp_path}/image", DATA)
    with loop_device(tmp_path / "backing", "--sector-size", "4096") as device:
        regions = {
            Slot.A: SlotRegion(path=device, offset=0, length=4 * MIB),
            Slot.B: SlotRegion(path=device, offset=4 * MIB, length=8 * MIB),
        }
        disk, flasher = FlashDisk(tmp_path), SlotFlasher(regions.__getitem__, lambda: Slot.A, FAST)

        flasher.flash(wanted, Slot.B, disk.progress, disk.cancelled)
        flasher.verify(wanted, Slot.B, disk.progress, disk.cancelled)

    after = (tmp_path / "backing").read_bytes()
    assert after[4 * MIB : 4 * MIB + len(DATA)] == DATA
    assert after[: 4 * MIB] == before[: 4 * MIB]
    assert after[12 * MIB :] == before[12 * MIB :]
