"""The two state files: bounded, numbered, and set aside when they cannot be understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.local.simulated import MemoryFile, SimulatedNode
from node_executor.journal import MAX_ORDERS, MAX_SCHEDULES, SCHEMA, Journal, JournalFile, load
from node_executor.records import MAX_REASON, KnownOrder, Record
from shared.durable import DurableFile
from shared.slots import Slot
from shared.states import EventKind, OrderKind, Phase
from tests.support.updates import NOON, told, update, update_order


def record(number: int, **fields: object) -> Record:
    base = {"id": f"sched-20260127-{number:03d}", "created_at": NOON, "update": update()}
    return Record.model_validate({**base, **fields})


def test_the_journal_reads_back_what_it_wrote(tmp_path: Path) -> None:
    journal = Journal(DurableFile(tmp_path / "update-schedule.json"))
    order = KnownOrder(id="order-1", seq=4, kind=OrderKind.UPDATE, schedule_id="sched-20260127-001")

    journal.write(record(1, order_id="order-1"), order=order)
    again = Journal(DurableFile(tmp_path / "update-schedule.json"))

    assert again.records == journal.records
    assert again.order("order-1") == order
    assert again.find("order-1") == again.find("sched-20260127-001") == journal.records[0]
    assert again.highest_seq == 4


def test_each_write_has_the_next_number() -> None:
    file = MemoryFile("update-schedule.json")
    journal = Journal(file)

    journal.write(record(1))
    journal.write(record(2))

    content = json.loads(file.content or b"{}")
    assert (content["sequence"], content["schema_version"]) == (2, SCHEMA)


def test_history_is_bounded_and_what_is_not_settled_is_kept() -> None:
    journal = Journal(MemoryFile("update-schedule.json"))
    journal.write(record(1))

    for number in range(2, MAX_SCHEDULES + 10):
        order = KnownOrder(id=f"order-{number}", seq=number, kind=OrderKind.UPDATE)
        journal.write(record(number, phase=Phase.COMPLETED, settled=True), order=order)

    assert len(journal.records) == MAX_SCHEDULES + 1
    assert journal.records[0].id == "sched-20260127-001"
    assert journal.highest_seq == MAX_SCHEDULES + 9


def test_known_orders_are_bounded() -> None:
    journal = Journal(MemoryFile("update-schedule.json"))

    for number in range(MAX_ORDERS + 5):
        journal.write(order=KnownOrder(id=f"order-{number}", seq=number + 1, kind=OrderKind.CANCEL))

    assert journal.order("order-4") is None
    assert journal.order("order-5") is not None


def test_an_overlong_reason_can_be_read_back() -> None:
    file = MemoryFile("update-schedule.json")
    Journal(file).write(record(1).evolve(reason="x" * 100_000))

    again = Journal(file)

    assert again.trouble == ""
    assert len(again.records[0].reason) == MAX_REASON


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"schedules": [', id="cut-off"),
        pytest.param(b'{"schedules": [{"id": 7}]}', id="wrong-types"),
        pytest.param(b'{"schema_version": 99}', id="newer-schema"),
        pytest.param(b'{"last_id": "garbage"}', id="no-id-to-count-on-from"),
        pytest.param(b"\xff\xfe", id="not-text"),
    ],
)
def test_a_file_that_cannot_be_understood_is_kept_aside_and_reported(content: bytes) -> None:
    file = MemoryFile("update-schedule.json")
    file.content = content

    loaded, trouble = load(file, JournalFile)

    assert loaded == JournalFile()
    assert "cannot understand update-schedule.json" in trouble
    assert file.aside == [content]


def test_unknown_fields_of_a_later_version_are_ignored() -> None:
    file = MemoryFile("update-schedule.json")
    file.content = b'{"schedules": [], "sequence": 3, "colour": "blue"}'

    loaded, trouble = load(file, JournalFile)

    assert (loaded.sequence, trouble) == (3, "")


@pytest.mark.parametrize("name", ["journal_file", "book_file"])
def test_a_node_whose_state_is_lost_on_trial_does_nothing_and_says_so(name: str) -> None:
    node = SimulatedNode()
    node.desk.take(update_order())
    node.machine.during["reboot"] = lambda: setattr(getattr(node, name), "content", b"garbage")
    node.runner.advance()
    node.machine.calls.clear()

    node.machine.boot()
    node.start_executor()
    if name == "journal_file":
        node.run_until_settled()

    hello = told(node, EventKind.HELLO)[-1]
    assert hello.error_kind == "state_file"
    assert "kept as" in hello.reason
    assert hello.facts.slot is Slot.B
    assert node.machine.calls == []


def test_the_rollback_file_has_the_names_that_users_know() -> None:
    node = SimulatedNode()
    seen: list[dict[str, object]] = []
    node.machine.during["health"] = lambda: seen.append(json.loads(node.book_file.content or b"{}"))

    node.desk.take(update_order())
    node.run_until_settled()

    assert seen[0]["previous_partition"] == 2
    assert seen[0]["boot_counter"] == 1
    assert seen[0]["last_update_time"] == "2026-01-27T12:00:00Z"
    assert json.loads(node.book_file.content or b"{}")["boot_counter"] == 0


def test_a_state_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "state" / "file.json"
    file = DurableFile(path)
    file.write(b"old")

    (tmp_path / "state/file.json.new").write_bytes(b"left behind by a crash")
    file.write(b"new")
    kept = file.set_aside()

    assert Path(kept).read_bytes() == b"new"
    assert file.read() is None
