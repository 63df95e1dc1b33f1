"""Slots on a partitioned block device: a loop device with a GPT, as a node's disk looks."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from node_executor.flash.flasher import SlotFlasher
from node_executor.flash.region import SlotRegion, narrowed, user_of
from node_executor.flash.target import SlotTarget
from shared.errors import SlotInUseError
from shared.images import Image
from shared.slots import Slot
from tests.support.flash_disk import FAST, MIB, FlashDisk, image, loop_device, mounted, need_root, run

pytestmark = pytest.mark.root

DATA = os.urandom(5 * MIB + 321)
LENGTH = 8 * MIB
OFFSETS = {Slot.A: 2 * MIB, Slot.B: 10 * MIB}


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """A disk with partitions 1 (1 MiB), 2 and 3 (8 MiB each), all noise."""
    need_root()
    disk = tmp_path / "disk"
    disk.write_bytes(os.urandom(20 * MIB))
    layout = [f"--new={n}:{start}M:+{size}M" for n, start, size in ((1, 1, 1), (2, 2, 8), (3, 10, 8))]
    run("sgdisk", "--zap-all", *layout, disk)
    with loop_device(disk) as found:
        run("partx", "--add", found)  # tells the kernel itself, which may know no GPT
        yield found
        run("partx", "--delete", found)


@pytest.fixture
def wanted(tmp_path: Path) -> Image:
    (tmp_path / "image").write_bytes(DATA)
    return image(f"file://{tmp_path}/image", DATA)


def region(device: Path, slot: Slot) -> SlotRegion:
    return SlotRegion(path=device, offset=OFFSETS[slot], length=LENGTH)


def flasher(device: Path) -> SlotFlasher:
    return SlotFlasher(lambda slot: region(device, slot), lambda: Slot.A, FAST)


def outside(device: Path) -> str:
    content = device.read_bytes()
    return hashlib.sha256(content[: OFFSETS[Slot.B]] + content[OFFSETS[Slot.B] + LENGTH :]).hexdigest()


def test_an_image_lands_in_its_partition_alone(device: Path, wanted: Image, tmp_path: Path) -> None:
    disk, before = FlashDisk(tmp_path), outside(device)

    flasher(device).flash(wanted, Slot.B, disk.progress, disk.cancelled)
    flasher(device).verify(wanted, Slot.B, disk.progress, disk.cancelled)

    assert Path(f"{device}p3").read_bytes()[: len(DATA)] == DATA
    assert outside(device) == before


def test_a_stretch_that_is_a_partition_is_reached_as_that(device: Path) -> None:
    assert narrowed(region(device, Slot.B)) == SlotRegion(path=Path(f"{device}p3"), length=LENGTH)


def test_nobody_can_mount_or_claim_a_slot_that_is_being_written(device: Path, tmp_path: Path) -> None:
    partition = narrowed(region(device, Slot.B))
    run("mkfs.ext4", "-q", partition.path)

    with SlotTarget(partition, Slot.B, writable=True):
        with pytest.raises(subprocess.CalledProcessError) as refused, mounted(partition.path, tmp_path / "point"):
            pytest.fail("the slot was mounted while it was open for writing")
        with pytest.raises(SlotInUseError, match="cannot open slot B"):
            SlotTarget(partition, Slot.B, writable=True)

    assert "busy" in refused.value.stderr


@pytest.mark.parametrize("through", ["disk", "partition"])
def test_a_mounted_partition_is_refused_untouched(device: Path, wanted: Image, tmp_path: Path, through: str) -> None:
    run("mkfs.ext4", "-q", f"{device}p3")
    disk = FlashDisk(tmp_path)
    slots = {
        "disk": region(device, Slot.B),
        "partition": SlotRegion(path=Path(f"{device}p3"), length=LENGTH),
    }
    with mounted(f"{device}p3", tmp_path / "in use", "-o", "ro") as point:
        before = Path(f"{device}p3").read_bytes()

        assert user_of(slots[through]) == f"mounted on {point}"
        regions = {Slot.A: region(device, Slot.A), Slot.B: slots[through]}
        with pytest.raises(SlotInUseError, match=f"is mounted on {point}"):
            SlotFlasher(regions.__getitem__, lambda: Slot.A, FAST).flash(wanted, Slot.B, disk.progress, disk.cancelled)

        assert Path(f"{device}p3").read_bytes() == before


def test_a_mounted_neighbour_is_no_hindrance(device: Path, wanted: Image, tmp_path: Path) -> None:
    run("mkfs.ext4", "-q", f"{device}p2")
    disk = FlashDisk(tmp_path)
    with mounted(f"{device}p2", tmp_path / "running"):
        flasher(device).flash(wanted, Slot.B, disk.progress, disk.cancelled)

        assert user_of(region(device, Slot.A)) is not None
    assert Path(f"{device}p3").read_bytes()[: len(DATA)] == DATA
