"""Fetching over HTTP from servers that do not behave."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from shared.errors import (
    DigestMismatchError,
    FleetError,
    ImageTooLargeError,
    ShortBodyError,
    SizeMismatchError,
    SourceChangedError,
    SourceRefusedError,
    SourceUnreachableError,
)
from shared.slots import Slot
from tests.support.flash_disk import MIB, FlashDisk, image, publish
from tests.support.release_server import Fault, FaultyReleaseServer

DATA = os.urandom(3 * MIB + 4321)


@pytest.fixture
def disk(tmp_path: Path) -> FlashDisk:
    publish(tmp_path, DATA)
    return FlashDisk(tmp_path / "disk").create()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([], id="well behaved"),
        pytest.param([Fault(drop_after=MIB + 77)], id="dropped"),
        pytest.param([Fault(drop_after=2 * MIB, reset=True)], id="reset"),
        pytest.param([Fault(drop_after=0)], id="dropped behind the head"),
        pytest.param([Fault(drop_after=5), Fault(drop_after=5), Fault(drop_after=MIB)], id="dropped three times"),
        pytest.param([Fault(drop_after=MIB), Fault(ignore_range=True)], id="range ignored"),
        pytest.param([Fault(drop_after=MIB, etag=""), Fault(etag="")], id="no validator"),
        pytest.param([Fault(drop_after=MIB, etag='W/"1"'), Fault(etag='W/"1"')], id="weak validator"),
        pytest.param([Fault(stall_after=MIB)], id="stalled"),
        pytest.param([Fault(stall_head=True)], id="silent"),
        pytest.param([Fault(status=500), Fault(status=503)], id="500, 503, then well"),
        pytest.param([Fault(drop_after=MIB), Fault(status=502)], id="502 when resuming"),
        pytest.param([Fault(unsized=True)], id="chunked"),
        pytest.param([Fault(unsized=True, drop_after=MIB)], id="chunked and dropped"),
        pytest.param([Fault(unsized=True, drop_after=len(DATA))], id="chunked and dropped before its end mark"),
        pytest.param([Fault(piece=997)], id="slow drip"),
        pytest.param([Fault(redirect="/image.squashfs")], id="redirected"),
    ],
)
@pytest.mark.parametrize("size", [len(DATA), None], ids=["size ordered", "size open"])
def test_a_troubled_transfer_ends_with_the_right_bytes(
    disk: FlashDisk, tmp_path: Path, script: list[Fault], size: int | None
) -> None:
    before = disk.outside()
    with FaultyReleaseServer(tmp_path, script) as server:
        wanted = image(f"{server.url}/image.squashfs", DATA, size=size)

        disk.flash(wanted)

    assert disk.read(Slot.B, len(DATA)) == DATA
    assert disk.outside() == before


@pytest.mark.parametrize(
    ("after", "size", "expected", "says"),
    [
        pytest.param(Fault(status=404), None, SourceRefusedError, "HTTP 404 (not found)", id="404"),
        pytest.param(Fault(status=403), None, SourceRefusedError, "HTTP 403 (forbidden)", id="403"),
        pytest.param(Fault(status=500), None, SourceUnreachableError, "HTTP 500 (internal server error)", id="500"),
        pytest.param(Fault(status=799), None, SourceRefusedError, "HTTP 799", id="no such status"),
        pytest.param(Fault(redirect="/again"), None, SourceRefusedError, "redirects in circles", id="redirect loop"),
        pytest.param(Fault(redirect="gopher://x/"), None, SourceRefusedError, "gopher", id="redirect to nowhere"),
        pytest.param(Fault(stall_head=True), None, SourceUnreachableError, "nothing in time", id="silent"),
        pytest.param(Fault(stall_after=0), None, SourceUnreachableError, "nothing in time", id="stalled"),
        pytest.param(Fault(drop_after=0, reset=True), None, SourceUnreachableError, "connection broke", id="reset"),
        pytest.param(Fault(drop_after=0), None, ShortBodyError, f"after 0 of {len(DATA)} bytes", id="short body"),
        pytest.param(Fault(encoding="gzip"), None, SourceRefusedError, "gzip-encoded", id="encoded"),
        pytest.param(Fault(), len(DATA) + 1, SizeMismatchError, "the order says", id="shorter than ordered"),
        pytest.param(Fault(), len(DATA) - 1, SizeMismatchError, "the order says", id="longer than ordered"),
        pytest.param(Fault(unsized=True), len(DATA) - 1, SizeMismatchError, "more than", id="longer while it comes"),
        pytest.param(
            Fault(unsized=True), len(DATA) + 1, SizeMismatchError, "the order says", id="shorter, as 416 tells"
        ),
        pytest.param(
            Fault(unsized=True, ignore_range=True),
            len(DATA) + 1,
            ShortBodyError,
            "it ended after",
            id="shorter, unsized",
        ),
        pytest.param(Fault(endless=True), None, ImageTooLargeError, "longer than the slot", id="endless"),
        pytest.param(Fault(endless=True), len(DATA), SizeMismatchError, "more than", id="endless, size ordered"),
        pytest.param(Fault(wrong_bytes=True), None, DigestMismatchError, "have sha256", id="wrong bytes"),
    ],
)
def test_a_bad_source_is_named_and_leaves_the_slot_unmountable(  # noqa: PLR0913, PLR0917 - one table
    disk: FlashDisk, tmp_path: Path, after: Fault, size: int | None, expected: type[FleetError], says: str
) -> None:
    before = disk.outside()
    with FaultyReleaseServer(tmp_path, after=after) as server:
        wanted = image(f"{server.url}/image.squashfs", DATA, size=size)

        with pytest.raises(expected) as caught:
            disk.flash(wanted)

    assert type(caught.value) is expected
    assert says in caught.value.message
    assert caught.value.message.startswith("cannot ")
    assert caught.value.cure
    assert disk.wiped()
    assert disk.outside() == before


def test_a_resumed_transfer_asks_only_for_what_is_missing(disk: FlashDisk, tmp_path: Path) -> None:
    with FaultyReleaseServer(tmp_path, [Fault(drop_after=MIB)]) as server:
        disk.flash(image(f"{server.url}/image.squashfs", DATA))
        first, second = server.requests

    assert "Range" not in first
    assert second["Range"] == f"bytes={MIB}-"
    assert second["If-Range"].startswith('"')


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(Fault(etag='"other"'), id="other etag, so the whole file comes"),
        pytest.param(Fault(etag='"other"', ignore_range=True), id="other etag, range ignored"),
    ],
)
def test_a_source_that_changes_midway_is_never_spliced(disk: FlashDisk, tmp_path: Path, second: Fault) -> None:
    with (
        FaultyReleaseServer(tmp_path, [Fault(drop_after=MIB)], after=second) as server,
        pytest.raises(SourceChangedError, match="changed after 1048576 bytes") as caught,
    ):
        disk.flash(image(f"{server.url}/image.squashfs", DATA))

    assert caught.value.retriable
    assert disk.wiped()


def test_a_source_that_shrinks_midway_has_changed(disk: FlashDisk, tmp_path: Path) -> None:
    def shrink(done: int, _total: int | None) -> None:
        if done == MIB:
            (tmp_path / "image.squashfs").write_bytes(DATA[:1000])

    with (
        FaultyReleaseServer(tmp_path, [Fault(stall_after=MIB, etag="")], after=Fault(etag="")) as server,
        pytest.raises(SourceChangedError),
    ):
        disk.flasher().flash(image(f"{server.url}/image.squashfs", DATA), Slot.B, shrink, disk.cancelled)

    assert disk.wiped()


def test_a_server_that_answers_from_another_byte_is_not_believed(disk: FlashDisk, tmp_path: Path) -> None:
    with (
        FaultyReleaseServer(tmp_path, [Fault(drop_after=MIB), Fault(wrong_range=True)]) as server,
        pytest.raises(SourceRefusedError, match="asked from byte 1048576, it answers from byte 1"),
    ):
        disk.flash(image(f"{server.url}/image.squashfs", DATA))

    assert disk.wiped()


def test_a_refused_connection_is_said(disk: FlashDisk) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else can take the port
        wanted = image(f"http://127.0.0.1:{closed.getsockname()[1]}/image", DATA)

        with pytest.raises(SourceUnreachableError, match="connection refused") as caught:
            disk.flash(wanted)

    assert caught.value.retriable


def test_a_name_without_an_address_is_said(disk: FlashDisk) -> None:
    with pytest.raises(SourceUnreachableError, match="its host name has no address"):
        disk.flash(image("http://releases.invalid/image", DATA))


def test_secrets_of_the_source_stay_out_of_messages_but_reach_the_server(disk: FlashDisk, tmp_path: Path) -> None:
    with FaultyReleaseServer(tmp_path, after=Fault(status=403)) as server:
        address = server.url.replace("http://", "http://fleet:pa%20ss@")

        with pytest.raises(SourceRefusedError) as caught:
            disk.flash(image(f"{address}/image.squashfs?signature=s3cret", DATA))

    assert "pa" not in caught.value.message.split("/image")[0]
    assert "s3cret" not in caught.value.message
    assert server.requests[0]["Authorization"] == "Basic ZmxlZXQ6cGEgc3M="
