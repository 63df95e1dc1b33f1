"""A cancel ends every wait quickly, and leaves a slot that nothing can mount."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from shared.errors import ReadBackError
from shared.slots import Slot
from tests.support.flash_disk import FAST, MIB, FlashDisk, image, publish
from tests.support.release_server import Fault, FaultyReleaseServer

DATA = os.urandom(4 * MIB)
#: Seconds; every wait that a cancel ends here would last a minute.
QUICK = 30
PATIENT = FAST.model_copy(update={"first_wait": 60, "longest_wait": 60, "read_timeout": 60, "connect_timeout": 60})


@pytest.fixture
def disk(tmp_path: Path) -> FlashDisk:
    publish(tmp_path, DATA)
    return FlashDisk(tmp_path / "disk", settings=PATIENT).create()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(stall_head=True), id="no answer"),
        pytest.param(Fault(stall_after=0), id="no body"),
        pytest.param(Fault(stall_after=2 * MIB + 5), id="body stalled"),
    ],
)
def test_a_cancel_ends_a_silent_transfer(disk: FlashDisk, tmp_path: Path, fault: Fault) -> None:
    with FaultyReleaseServer(tmp_path, [fault]) as server:
        worker = threading.Thread(target=disk.flash, args=(image(f"{server.url}/image.squashfs", DATA),))
        worker.start()
        assert server.silent.wait(QUICK)

        disk.cancelled.set()
        worker.join(QUICK)

    assert not worker.is_alive()
    assert disk.wiped()


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop_after=MIB)], ids=["before", "midway"])
def test_a_cancel_ends_the_wait_before_a_retry(disk: FlashDisk, tmp_path: Path, fault: Fault) -> None:
    with FaultyReleaseServer(tmp_path, after=fault) as server:
        worker = threading.Thread(target=disk.flash, args=(image(f"{server.url}/image.squashfs", DATA),))
        worker.start()
        assert server.answered.wait(QUICK)

        disk.cancelled.set()
        worker.join(QUICK)

    assert not worker.is_alive()
    assert disk.wiped()


@pytest.mark.parametrize("blocks", [1, 2, 4], ids=["first block", "second block", "last block"])
def test_a_cancel_between_blocks_leaves_the_head_wiped(disk: FlashDisk, tmp_path: Path, blocks: int) -> None:
    before = disk.outside()

    def cancel(done: int, total: int | None) -> None:
        assert total == len(DATA)
        if done == blocks * MIB:
            disk.cancelled.set()

    with FaultyReleaseServer(tmp_path) as server:
        disk.flasher().flash(image(f"{server.url}/image.squashfs", DATA), Slot.B, cancel, disk.cancelled)

    assert disk.wiped()
    assert disk.outside() == before


def test_a_cancel_before_the_start_asks_no_server(disk: FlashDisk, tmp_path: Path) -> None:
    disk.cancelled.set()

    with FaultyReleaseServer(tmp_path) as server:
        disk.flash(image(f"{server.url}/image.squashfs", DATA))

    assert server.requests == []
    assert disk.wiped()


def test_a_cancel_ends_a_probe(disk: FlashDisk, tmp_path: Path) -> None:
    with FaultyReleaseServer(tmp_path, [Fault(stall_head=True)]) as server:
        answer: list[int] = []
        wanted = image(f"{server.url}/image.squashfs", DATA)
        worker = threading.Thread(target=lambda: answer.append(disk.flasher().probe(wanted, Slot.B, disk.cancelled)))
        worker.start()
        assert server.silent.wait(QUICK)

        disk.cancelled.set()
        worker.join(QUICK)

    assert answer == [0]


def test_a_cancel_ends_a_verification_without_a_verdict(disk: FlashDisk) -> None:
    other = image("http://127.0.0.1:1/never-asked", DATA, size=8 * MIB)

    def cancel(done: int, total: int | None) -> None:
        disk.progress(done, total)
        disk.cancelled.set()

    disk.flasher().verify(other, Slot.B, cancel, disk.cancelled)

    assert disk.seen == [(4 * MIB, 8 * MIB)]
    with pytest.raises(ReadBackError):
        disk.flasher().verify(other, Slot.B, disk.progress, threading.Event())


def test_a_cancelled_flash_leaves_no_thread_behind(disk: FlashDisk, tmp_path: Path) -> None:
    with FaultyReleaseServer(tmp_path, [Fault(stall_after=MIB)]) as server:
        worker = threading.Thread(target=disk.flash, args=(image(f"{server.url}/image.squashfs", DATA),))
        worker.start()
        assert server.silent.wait(QUICK)
        started = time.monotonic()

        disk.cancelled.set()
        worker.join(QUICK)

        assert "flash-source" not in {thread.name for thread in threading.enumerate()}
        assert time.monotonic() - started < QUICK
