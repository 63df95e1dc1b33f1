"""Giving memory back: what is mapped from a file leaves, and what it says does not."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.waiting import wait_until
from node_executor.memory import Tidier, give_back, resident

_SIZE = 32 << 20


@pytest.fixture
def mapped(tmp_path: Path) -> Iterator[mmap.mmap]:
    """A large file, mapped for reading and read, as a library is."""
    path = tmp_path / "library"
    with path.open("w+b") as file:
        file.write(os.urandom(1 << 20) * (_SIZE >> 20))
        file.flush()
        os.fsync(file.fileno())  # a dirty page would have to be written first
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
            assert sum(mapping[at] for at in range(0, _SIZE, mmap.PAGESIZE))
            yield mapping


def test_pages_of_files_leave_and_keep_their_content(mapped: mmap.mmap) -> None:
    before, content = resident(), hash(mapped[:])

    give_back()

    assert before - resident() > _SIZE * 0.9
    assert hash(mapped[:]) == content


def test_memory_is_given_back_soon_after_it_was_asked_for(mapped: mmap.mmap) -> None:
    before = resident()
    tidier = Tidier(settle=0.01)
    tidier.start()

    tidier.soon()

    wait_until(lambda: before - resident() > _SIZE * 0.9, "the memory to be given back")
    assert mapped[0] == mapped[1 << 20]
    tidier.stop()


def test_stopping_does_not_wait_for_the_dust_to_settle() -> None:
    tidier = Tidier(settle=3600)
    tidier.start()
    tidier.soon()

    tidier.stop()

    assert not tidier.running
