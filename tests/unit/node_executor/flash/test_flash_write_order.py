"""A half-written slot is never mountable, and nothing outside the slot is ever written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from node_executor.flash.flasher import SlotFlasher
from node_executor.flash.region import SlotRegion
from node_executor.flash.target import SlotTarget
from shared.errors import (
    DigestMismatchError,
    ImageTooLargeError,
    ReadBackError,
    SlotInUseError,
    SlotVanishedError,
    SourceUnreachableError,
)
from shared.slots import Slot
from tests.support.flash_disk import MIB, FlashDisk, image
from tests.support.release_server import Fault, FaultyReleaseServer


@pytest.fixture
def disk(tmp_path: Path) -> FlashDisk:
    return FlashDisk(tmp_path / "disk").create()


def stored(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "image file").write_bytes(data)
    return f"file://{tmp_path}/image%20file"


@pytest.mark.parametrize(
    "size",
    [1, 511, 512, 4096 + 7, MIB - 1, MIB, MIB + 1, 3 * MIB, 5 * MIB + 1234, 8 * MIB],
    ids=lambda size: f"{size} bytes",
)
@pytest.mark.parametrize("gap", [MIB, 33 * 1024, 1000], ids=["MiB-aligned", "sector-aligned", "unaligned"])
def test_every_size_lands_byte_for_byte_and_nowhere_else(tmp_path: Path, size: int, gap: int) -> None:
    disk = FlashDisk(tmp_path / "disk", gap=gap).create()
    data, before = os.urandom(size), disk.outside()
    wanted = image(stored(tmp_path, data), data)

    disk.flash(wanted)
    disk.flasher().verify(wanted, Slot.B, disk.progress, disk.cancelled)

    assert disk.read(Slot.B, size) == data
    assert disk.outside() == before
    assert disk.seen[-1] == (size, size)


def test_the_head_stays_wiped_until_everything_else_is_there(disk: FlashDisk, tmp_path: Path) -> None:
    data = os.urandom(5 * MIB + 3)
    wiped: list[bool] = []

    disk.flasher().flash(
        image(stored(tmp_path, data), data), Slot.B, lambda *_: wiped.append(disk.wiped()), disk.cancelled
    )

    assert wiped == [True] * 6
    assert disk.read(Slot.B, len(data)) == data


def test_a_wrong_digest_leaves_the_head_wiped(disk: FlashDisk, tmp_path: Path) -> None:
    data, before = os.urandom(3 * MIB), disk.outside()

    with pytest.raises(DigestMismatchError, match="the bytes that came have sha256"):
        disk.flash(image(stored(tmp_path, data), b"another image"))

    assert disk.wiped()
    assert disk.read(Slot.B, MIB, at=MIB) == data[MIB : 2 * MIB]
    assert disk.outside() == before


def test_a_killed_flash_leaves_an_unmountable_slot_that_the_next_one_completes(disk: FlashDisk, tmp_path: Path) -> None:
    data, before = os.urandom(6 * MIB), disk.outside()
    (tmp_path / "image").write_bytes(data)
    with FaultyReleaseServer(tmp_path, [Fault(stall_after=4 * MIB)]) as server:
        wanted = image(f"{server.url}/image", data)
        program = (
            "import sys, pathlib; from tests.support.flash_disk import FlashDisk; from shared.images import Image; "
            "from node_executor.flash.settings import FlashSettings; "
            "disk = FlashDisk(pathlib.Path(sys.argv[1]), settings=FlashSettings()); "
            "disk.progress = lambda done, total: print(done, flush=True); "
            "disk.flash(Image.model_validate_json(sys.argv[2]))"
        )
        command = [sys.executable, "-c", program, str(disk.path), wanted.model_dump_json()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert [process.stdout.readline() for _ in range(4)][-1] == f"{4 * MIB}\n"
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert disk.wiped()
        assert disk.read(Slot.B, MIB, at=MIB) == data[MIB : 2 * MIB]

        disk.flash(wanted)

    assert disk.read(Slot.B, len(data)) == data
    assert disk.outside() == before


def test_changed_bytes_are_found_when_read_back(disk: FlashDisk, tmp_path: Path) -> None:
    data = os.urandom(5 * MIB)
    wanted = image(stored(tmp_path, data), data)
    disk.flash(wanted)
    with disk.path.open("r+b") as file:
        file.seek(disk.region(Slot.B).offset + 4 * MIB + 17)
        file.write(bytes([data[4 * MIB + 17] ^ 1]))

    with pytest.raises(ReadBackError, match=f"its first {len(data)} bytes have sha256"):
        disk.flasher().verify(wanted, Slot.B, disk.progress, threading.Event())


def test_the_running_slot_is_refused_untouched(disk: FlashDisk, tmp_path: Path) -> None:
    data, before = os.urandom(MIB), disk.path.read_bytes()
    wanted = image(stored(tmp_path, data), data)

    for call in (lambda: disk.flash(wanted, Slot.A), lambda: disk.flasher().probe(wanted, Slot.A, disk.cancelled)):
        with pytest.raises(SlotInUseError, match="cannot flash slot A: it is the running slot"):
            call()

    assert disk.path.read_bytes() == before


def test_a_slot_that_shares_bytes_with_the_running_one_is_refused(disk: FlashDisk, tmp_path: Path) -> None:
    data, before = os.urandom(MIB), disk.path.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(disk.path)
    regions = {
        Slot.A: disk.region(Slot.A),
        Slot.B: SlotRegion(path=link, offset=disk.region(Slot.A).offset + 8 * MIB - 1, length=8 * MIB),
    }
    flasher = SlotFlasher(regions.__getitem__, lambda: Slot.A, disk.settings)

    with pytest.raises(SlotInUseError, match="shares bytes"):
        flasher.flash(image(stored(tmp_path, data), data), Slot.B, disk.progress, disk.cancelled)

    assert disk.path.read_bytes() == before


@pytest.mark.parametrize("size", [8 * MIB + 1, None], ids=["as ordered", "as the source announces"])
def test_an_image_larger_than_the_slot_is_refused_in_the_probe(
    disk: FlashDisk, tmp_path: Path, size: int | None
) -> None:
    data, before = os.urandom(8 * MIB + 1), disk.path.read_bytes()

    with pytest.raises(ImageTooLargeError, match="do not fit into the slot's 8388608"):
        disk.flasher().probe(image(stored(tmp_path, data), data, size=size), Slot.B, disk.cancelled)

    assert disk.path.read_bytes() == before


@pytest.mark.parametrize("at", [-1, 8 * MIB - 511, 8 * MIB], ids=["before", "across the end", "behind"])
def test_no_byte_outside_the_slot_can_be_written_or_read(disk: FlashDisk, at: int) -> None:
    before = disk.path.read_bytes()

    with SlotTarget(disk.region(Slot.B), Slot.B, writable=True) as target:
        for call in (target.write, target.read_into):
            with pytest.raises(ImageTooLargeError, match="cannot reach bytes"):
                call(memoryview(bytearray(512)), at)

    assert disk.path.read_bytes() == before


def test_a_region_behind_the_end_of_the_disk_is_refused(disk: FlashDisk, tmp_path: Path) -> None:
    os.truncate(disk.path, disk.region(Slot.B).offset + MIB)

    with pytest.raises(SlotVanishedError, match="the disk ends at byte"):
        disk.flash(image(stored(tmp_path, b"x"), b"x"))


def test_a_disk_that_is_not_there_is_said(disk: FlashDisk, tmp_path: Path) -> None:
    disk.path.unlink()

    with pytest.raises(SlotVanishedError, match=r"cannot open slot B .*no such file") as caught:
        disk.flasher().probe(image(stored(tmp_path, b"x"), b"x"), Slot.B, disk.cancelled)

    assert "cable" in caught.value.cure


def test_a_file_that_is_not_there_is_said(disk: FlashDisk, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachableError, match=r"cannot fetch file://.*/gone: no such file"):
        disk.flasher().probe(image(f"file://{tmp_path}/gone", b"x"), Slot.B, disk.cancelled)


def test_a_probe_returns_the_size_and_writes_nothing(disk: FlashDisk, tmp_path: Path) -> None:
    data, before = os.urandom(12345), disk.path.read_bytes()

    size = disk.flasher().probe(image(stored(tmp_path, data), data), Slot.B, disk.cancelled)

    assert size == 12345
    assert disk.path.read_bytes() == before
