"""The page about node states is the table itself."""

from __future__ import annotations

from pathlib import Path

from node_executor import machine_docs
from node_executor.machine import TABLE, Arrival, Effect, Signal
from shared.states import Phase

PAGE = Path(__file__).parents[3] / "docs/reference/node-states.md"


def test_the_page_is_what_the_table_prints_now() -> None:
    printed = machine_docs.render()

    assert PAGE.read_text() == printed, "run: python -m node_executor.machine_docs > docs/reference/node-states.md"


def test_every_member_has_its_meaning_on_the_page() -> None:
    printed = machine_docs.render()

    for enum in (Phase, Effect, Arrival):
        assert set(machine_docs.meanings(enum)) == set(enum)
    assert set(machine_docs.meanings(Signal)) == set(Signal)
    assert all(f"| `{start}` | `{signal}` |" in printed for start, signal in TABLE)
