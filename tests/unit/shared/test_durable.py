"""Small files that survive power loss."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.durable import DurableFile, read_bytes, write_bytes, write_json
from shared.errors import StateFileError


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file of this process grow beyond 100 bytes: the file system refuses in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    write_json(tmp_path / "deep/er/file.json", {"a": 1})

    assert json.loads(read_bytes(tmp_path / "deep/er/file.json") or b"") == {"a": 1}
    assert [path.name for path in (tmp_path / "deep/er").iterdir()] == ["file.json"]


def test_a_file_that_was_never_written_is_none(tmp_path: Path) -> None:
    assert read_bytes(tmp_path / "file") is None


@pytest.mark.usefixtures("small_files")
def test_a_write_that_fails_half_way_leaves_the_old_content(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"old")

    with pytest.raises(StateFileError, match="cannot write"):
        write_bytes(tmp_path / "file", b"x" * 1000)

    assert read_bytes(tmp_path / "file") == b"old"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StateFileError, match="cannot write"):
        write_bytes(tmp_path / "file/below", b"")
    with pytest.raises(StateFileError, match="cannot read"):
        read_bytes(tmp_path / "file/below")


def test_what_is_set_aside_is_kept_each_time(tmp_path: Path) -> None:
    file = DurableFile(tmp_path / "file")

    kept = []
    for content in (b"one", b"two"):
        file.write(content)
        kept.append(Path(file.set_aside()))

    assert [path.read_bytes() for path in kept] == [b"one", b"two"]
    assert file.read() is None
