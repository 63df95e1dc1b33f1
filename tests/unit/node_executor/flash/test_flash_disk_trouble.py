"""Disks that are full, broken, gone or in use: each for real, by small file systems and loop devices."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from node_executor.flash.flasher import SlotFlasher
from node_executor.flash.region import SlotRegion
from shared.errors import DiskFullError, SlotError, SlotInUseError, SlotVanishedError
from shared.images import Image
from shared.slots import Slot
from tests.support.flash_disk import FAST, MIB, FlashDisk, image, loop_device, mounted, need_root, run

pytestmark = pytest.mark.root

DATA = os.urandom(6 * MIB)


@pytest.fixture(autouse=True)
def root() -> None:
    need_root()


@pytest.fixture
def wanted(tmp_path: Path) -> Image:
    (tmp_path / "image").write_bytes(DATA)
    return image(f"file://{tmp_path}/image", DATA)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[FlashDisk]:
    """A sparse disk on a file system that has room for 3 MiB of it."""
    with mounted("none", tmp_path / "small", "-t", "tmpfs", "-o", "size=3m") as folder:
        disk = FlashDisk(folder / "disk")
        with disk.path.open("wb") as file:
            file.truncate(3 * disk.gap + 2 * disk.length)
        yield disk


def one_slot(device: Path, length: int = 8 * MIB) -> SlotFlasher:
    """Return a flasher whose slot B is the whole of ``device``."""
    regions = {Slot.A: SlotRegion(path=Path("/dev/null"), length=1), Slot.B: SlotRegion(path=device, length=length)}
    return SlotFlasher(regions.__getitem__, lambda: Slot.A, FAST)


def test_a_full_file_system_under_an_image_file_is_said(small: FlashDisk, wanted: Image) -> None:
    with pytest.raises(DiskFullError, match=r"cannot write slot B on .*/small/disk: no space left") as caught:
        small.flash(wanted)

    assert "free space" in caught.value.cure
    assert small.wiped()


def test_a_file_size_limit_is_said_as_a_full_disk(tmp_path: Path, wanted: Image) -> None:
    disk = FlashDisk(tmp_path / "disk").create()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (disk.region(Slot.B).offset + 3 * MIB, before[1]))

        with pytest.raises(DiskFullError, match="file too large"):
            disk.flash(wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert disk.wiped()


def test_a_full_device_is_said(small: FlashDisk, wanted: Image) -> None:
    with loop_device(small.path) as device, pytest.raises(SlotError) as caught:
        one_slot(device).flash(wanted, Slot.B, small.progress, small.cancelled)

    # O_DIRECT hears ENOSPC from the write; through the page cache the flush hears EIO
    assert type(caught.value) in (DiskFullError, SlotVanishedError)
    assert str(device) in caught.value.message


def test_a_disk_that_vanishes_midway_is_said(tmp_path: Path, wanted: Image) -> None:
    backing = tmp_path / "backing"
    backing.write_bytes(bytes(8 * MIB))
    with loop_device(backing) as device:

        def pull(done: int, _total: int | None) -> None:
            if done == 2 * MIB:
                os.truncate(backing, 0)
                run("losetup", "--set-capacity", device)

        with pytest.raises(SlotVanishedError, match="the disk ends at byte 0, inside the slot"):
            one_slot(device).flash(wanted, Slot.B, pull, FlashDisk(backing).cancelled)


def test_a_disk_that_cannot_be_read_back_is_said(tmp_path: Path, wanted: Image) -> None:
    backing = tmp_path / "backing"
    backing.write_bytes(bytes(8 * MIB))
    with loop_device(backing) as device:
        disk, flasher = FlashDisk(backing), one_slot(device)
        flasher.flash(wanted, Slot.B, disk.progress, disk.cancelled)
        os.truncate(backing, 2 * MIB)  # the device keeps its size: sectors behind are bad

        with pytest.raises(SlotVanishedError, match=rf"cannot read slot B on {device}: input/output error"):
            flasher.verify(wanted, Slot.B, disk.progress, disk.cancelled)


def test_a_write_protected_disk_is_said_before_anything_is_fetched(tmp_path: Path, wanted: Image) -> None:
    backing = tmp_path / "backing"
    backing.write_bytes(bytes(8 * MIB))
    with loop_device(backing, "--read-only") as device, pytest.raises(SlotError, match="cannot open slot B") as caught:
        one_slot(device).probe(wanted, Slot.B, FlashDisk(backing).cancelled)

    assert "write protection" in caught.value.cure


def test_a_slot_that_is_mounted_from_an_image_file_is_refused(tmp_path: Path, wanted: Image) -> None:
    disk = FlashDisk(tmp_path / "disk").create()
    region = disk.region(Slot.B)
    limits = ("--offset", str(region.offset), "--sizelimit", str(region.length))
    with loop_device(disk.path, *limits) as device:
        run(shutil.which("mkfs.ext4") or "mkfs.ext4", "-q", device)
        with mounted(device, tmp_path / "in use") as point:
            before = disk.path.read_bytes()

            for call in (disk.flash, lambda order: disk.flasher().probe(order, Slot.B, disk.cancelled)):
                with pytest.raises(SlotInUseError, match=f"is mounted on {point}"):
                    call(wanted)

            assert disk.path.read_bytes() == before
        disk.flash(wanted)

    assert disk.read(Slot.B, len(DATA)) == DATA
