"""The release server keeps to RFC 9110 where the flasher relies on it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from deploy.local.release_server import ReleaseServer

DATA = os.urandom(300_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReleaseServer]:
    folder = tmp_path / "releases"
    folder.mkdir()
    (folder / "image v2").write_bytes(DATA)
    (tmp_path / "secret").write_bytes(b"not a release")
    with ReleaseServer(folder) as running:
        yield running


def get(address: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager() as pool:
        return pool.request(method, address, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_a_whole_file_comes_with_length_and_validator(server: ReleaseServer) -> None:
    answer = get(f"{server.url}/image%20v2")

    assert (answer.status, answer.data) == (200, DATA)
    assert answer.headers["Content-Length"] == str(len(DATA))
    assert answer.headers["ETag"].startswith('"')


def test_head_brings_no_body(server: ReleaseServer) -> None:
    answer = get(f"{server.url}/image%20v2", "HEAD")

    assert (answer.status, answer.data) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(DATA))


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=1000-", 1000, len(DATA)), ("bytes=0-0", 0, 1), ("bytes=5-999999", 5, len(DATA))],
    ids=["open", "first byte", "past the end"],
)
def test_a_range_brings_that_part(server: ReleaseServer, asked: str, start: int, end: int) -> None:
    answer = get(f"{server.url}/image%20v2", Range=asked)

    assert (answer.status, answer.data) == (206, DATA[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(DATA)}"


def test_a_range_behind_the_end_is_refused_with_the_size(server: ReleaseServer) -> None:
    answer = get(f"{server.url}/image%20v2", Range=f"bytes={len(DATA)}-")

    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"


def test_a_range_of_a_version_that_is_gone_brings_the_whole_new_one(server: ReleaseServer, tmp_path: Path) -> None:
    old = get(f"{server.url}/image%20v2").headers["ETag"]
    (tmp_path / "releases" / "image v2").write_bytes(b"a newer version")

    answer = get(f"{server.url}/image%20v2", Range="bytes=4-", If_Range=old)

    assert (answer.status, answer.data) == (200, b"a newer version")


@pytest.mark.parametrize("path", ["none", "%2e%2e/secret", "", "%00"], ids=["missing", "outside", "folder", "NUL"])
def test_anything_else_is_not_found(server: ReleaseServer, path: str) -> None:
    assert get(f"{server.url}/{path}").status == 404


def test_a_stopped_server_frees_its_port(tmp_path: Path) -> None:
    first = ReleaseServer(tmp_path).start()
    port = int(first.url.rpartition(":")[2])
    first.stop()

    with ReleaseServer(tmp_path, port=port) as second:
        assert get(f"{second.url}/none").status == 404


def test_one_that_was_never_started_can_be_ended(tmp_path: Path) -> None:
    server = ReleaseServer(tmp_path)
    port = int(server.url.rpartition(":")[2])

    ending = threading.Thread(target=server.stop, daemon=True)
    ending.start()
    ending.join(10)

    assert not ending.is_alive()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
