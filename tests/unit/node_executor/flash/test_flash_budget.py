"""How often a source is asked, and what happens when nobody says how long the image is."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from shared.errors import ShortBodyError, SizeMismatchError, SourceRefusedError, SourceUnreachableError
from shared.slots import Slot
from tests.support.flash_disk import FAST, MIB, FlashDisk, image, publish
from tests.support.release_server import Fault, FaultyReleaseServer

DATA = os.urandom(2 * MIB + 7)


@pytest.fixture
def disk(tmp_path: Path) -> FlashDisk:
    publish(tmp_path, DATA)
    return FlashDisk(tmp_path / "disk").create()


def test_fruitless_connections_are_counted_to_the_limit(disk: FlashDisk, tmp_path: Path) -> None:
    with FaultyReleaseServer(tmp_path, after=Fault(status=503)) as server, pytest.raises(SourceUnreachableError):
        disk.flash(image(f"{server.url}/image.squashfs", DATA))

    assert len(server.requests) == FAST.attempts


def test_a_server_cannot_make_us_wait_as_long_as_it_likes(disk: FlashDisk, tmp_path: Path) -> None:
    started = time.monotonic()
    with (
        FaultyReleaseServer(tmp_path, after=Fault(status=503, retry_after=3600)) as server,
        pytest.raises(SourceUnreachableError, match="HTTP 503"),
    ):
        disk.flash(image(f"{server.url}/image.squashfs", DATA))

    assert len(server.requests) == FAST.attempts
    assert time.monotonic() - started < 60


def test_a_connection_that_brought_bytes_renews_the_budget(disk: FlashDisk, tmp_path: Path) -> None:
    down = [Fault(status=503)] * (FAST.attempts - 1)
    script = [*down, Fault(drop_after=MIB), *down, Fault(drop_after=7), *down]

    with FaultyReleaseServer(tmp_path, script) as server:
        disk.flash(image(f"{server.url}/image.squashfs", DATA))

    assert disk.read(Slot.B, len(DATA)) == DATA
    assert len(server.requests) == len(script) + 1


def test_connections_that_each_bring_a_little_end_too(disk: FlashDisk, tmp_path: Path) -> None:
    disk.settings = FAST.model_copy(update={"max_connections": 5})

    with FaultyReleaseServer(tmp_path, after=Fault(drop_after=3)) as server:
        with pytest.raises(SourceUnreachableError, match="5 connections broke one after the other"):
            disk.flash(image(f"{server.url}/image.squashfs", DATA))

        assert server.requests[-1]["Range"] == "bytes=12-"


def test_a_body_that_stays_short_is_said_after_the_last_try(disk: FlashDisk, tmp_path: Path) -> None:
    script = [Fault(drop_after=MIB)]

    with FaultyReleaseServer(tmp_path, script, after=Fault(drop_after=0)) as server:
        with pytest.raises(ShortBodyError, match=f"it ended after {MIB} of {len(DATA)} bytes"):
            disk.flash(image(f"{server.url}/image.squashfs", DATA))

        assert len(server.requests) == 1 + FAST.attempts


def test_a_refusal_is_final(disk: FlashDisk, tmp_path: Path) -> None:
    with FaultyReleaseServer(tmp_path, after=Fault(status=404)) as server, pytest.raises(SourceRefusedError) as caught:
        disk.flash(image(f"{server.url}/image.squashfs", DATA))

    assert len(server.requests) == 1
    assert not caught.value.retriable


def test_a_probe_takes_one_byte_at_most(disk: FlashDisk, tmp_path: Path) -> None:
    with FaultyReleaseServer(tmp_path, [Fault(status=500)]) as server:
        size = disk.flasher().probe(image(f"{server.url}/image.squashfs", DATA), Slot.B, disk.cancelled)

    assert size == len(DATA)
    assert [request["Range"] for request in server.requests] == ["bytes=0-0", "bytes=0-0"]


def test_a_size_that_nobody_tells_is_zero_and_flashed_all_the_same(disk: FlashDisk, tmp_path: Path) -> None:
    secretive = Fault(unsized=True, ignore_range=True)
    with FaultyReleaseServer(tmp_path, after=secretive) as server:
        wanted, flasher = image(f"{server.url}/image.squashfs", DATA), disk.flasher()

        size = flasher.probe(wanted, Slot.B, disk.cancelled)
        flasher.flash(wanted, Slot.B, disk.progress, disk.cancelled)
        flasher.verify(wanted, Slot.B, disk.progress, disk.cancelled)

        assert size == 0
        assert disk.read(Slot.B, len(DATA)) == DATA
        with pytest.raises(SizeMismatchError, match="neither the order nor the source says"):
            disk.flasher().verify(wanted, Slot.B, disk.progress, threading.Event())


def test_a_new_process_asks_the_source_for_the_size_to_verify(disk: FlashDisk, tmp_path: Path) -> None:
    with FaultyReleaseServer(tmp_path) as server:
        wanted = image(f"{server.url}/image.squashfs", DATA)
        disk.flash(wanted)

        disk.flasher().verify(wanted, Slot.B, disk.progress, disk.cancelled)

    assert disk.seen[-1] == (len(DATA), len(DATA))


def test_an_empty_image_is_refused(disk: FlashDisk, tmp_path: Path) -> None:
    publish(tmp_path, b"")
    with FaultyReleaseServer(tmp_path) as server, pytest.raises(SizeMismatchError, match="it is empty"):
        disk.flasher().probe(image(f"{server.url}/image.squashfs", b""), Slot.B, disk.cancelled)
