"""The glossary knows every word that an enum can put on a screen."""

from __future__ import annotations

import inspect
from enum import StrEnum
from pathlib import Path

import pytest

from shared import states

GLOSSARY = (Path(__file__).parents[3] / "docs/glossary.md").read_text()
ENUMS = [cls for _, cls in inspect.getmembers(states, inspect.isclass) if cls.__module__ == states.__name__]


def section(name: str) -> str:
    _, found, rest = GLOSSARY.partition(f"\n## {name}\n")
    assert found, f"docs/glossary.md has no section {name}"
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("enum", ENUMS, ids=lambda cls: cls.__name__)
def test_every_member_has_an_entry_and_no_entry_is_left_over(enum: type[StrEnum]) -> None:
    lines = [line for line in section(enum.__name__).splitlines() if line.startswith("- **")]

    words = [line.split("**")[1] for line in lines]

    assert words == [str(member) for member in enum]


def test_there_are_enums_to_look_at() -> None:
    assert len(ENUMS) >= 10
