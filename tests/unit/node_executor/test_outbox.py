"""The outbox on disk: numbers, order, bound, and what a full or damaged disk does to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node_executor.outbox import Outbox
from shared.errors import DiskFullError, StateFileError
from shared.signing import Signer
from shared.states import EventKind
from tests.support.outbox_writer import new_event

SIGNER = Signer("n1", Ed25519PrivateKey.generate())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def box(path: Path) -> Iterator[Outbox]:
    made = Outbox(path, SIGNER, max_events=5)
    yield made
    made.close()


def test_events_are_kept_as_they_are_and_numbered_from_one(box: Outbox) -> None:
    events = [new_event(EventKind.ACCEPTED, "ä"), new_event(EventKind.OUTCOME)]

    for event in events:
        box.append(event)

    assert box.pending() == [event.model_copy(update={"seq": n}) for n, event in enumerate(events, 1)]


def test_an_event_of_a_newer_executor_does_not_hold_up_the_others(box: Outbox, path: Path) -> None:
    for _ in range(3):
        box.append(new_event())
    with sqlite3.connect(path) as newer:
        newer.execute("""UPDATE events SET event = json_set(event, '$.kind', 'of a later version') WHERE seq = 2""")
    newer.close()
    sent: list[str] = []

    delivered = box._deliver_batch(lambda events: sent.extend(name for name, _ in events))

    assert (delivered, len(sent)) == (3, 2)
    assert box.pending() == []


def test_numbers_go_on_after_a_restart(box: Outbox, path: Path) -> None:
    box.append(new_event())
    box.close()

    again = Outbox(path, SIGNER)
    again.append(new_event())

    assert [event.seq for event in again.pending()] == [1, 2]
    again.close()


def test_number_is_not_given_again_when_its_row_has_gone(box: Outbox, path: Path) -> None:
    box.append(new_event())
    box._deliver_batch(lambda _events: None)
    box.close()

    again = Outbox(path, SIGNER)
    again.append(new_event())

    assert [event.seq for event in again.pending()] == [2]
    again.close()


def test_full_box_drops_progress_first_and_the_oldest_of_it(box: Outbox) -> None:
    kinds = [EventKind.ACCEPTED, EventKind.PHASE, EventKind.OUTCOME, EventKind.PHASE, EventKind.ROLLBACK]
    for kind in kinds:
        box.append(new_event(kind))

    box.append(new_event(EventKind.REFUSED))

    assert [event.seq for event in box.pending()] == [1, 3, 4, 5, 6]


def test_full_box_without_progress_drops_the_oldest(box: Outbox) -> None:
    for _ in range(7):
        box.append(new_event(EventKind.OUTCOME))

    assert [event.seq for event in box.pending()] == [3, 4, 5, 6, 7]


def test_full_disk_is_named_and_keeps_what_was_there(box: Outbox, path: Path) -> None:
    box.append(new_event(EventKind.ACCEPTED))
    box._db.execute("PRAGMA max_page_count=1")  # SQLite's own "database or disk is full"

    with pytest.raises(DiskFullError, match=r"cannot write to outbox .*full") as full:
        box.append(new_event(EventKind.OUTCOME, "x" * 4000))

    assert str(path.parent) in full.value.cure
    assert [event.kind for event in box.pending()] == [EventKind.ACCEPTED]
    box._db.execute("PRAGMA max_page_count=1000")
    box.append(new_event(EventKind.OUTCOME))
    assert [event.seq for event in box.pending()] == [1, 2]


@pytest.mark.parametrize(
    "damage", [b"no database at all" * 300, b"SQLite format 3\0" + b"\xff" * 5000], ids=["text", "bits"]
)
def test_damaged_file_is_set_aside_and_numbers_still_grow(box: Outbox, path: Path, damage: bytes) -> None:
    for _ in range(3):
        box.append(new_event())
    box.close()
    path.write_bytes(damage)

    again = Outbox(path, SIGNER)
    again.append(new_event())

    assert path.with_name("outbox.sqlite.damaged").read_bytes() == damage
    assert [event.seq > 3 for event in again.pending()] == [True]
    again.close()


def test_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="cannot open outbox"):
        Outbox(tmp_path / "nowhere" / "outbox.sqlite", SIGNER)
