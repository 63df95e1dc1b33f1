"""The printed pages of docs/reference are what the code prints now."""

from __future__ import annotations

import re

import pytest

from deploy.pages import errors
from deploy.pages.__main__ import FOLDER, PAGES
from deploy.pages.commands import PROGRAMS, leaves
from deploy.pages.messages import ANSWERS
from shared.errors import all_errors


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_prints_now(name: str) -> None:
    printed = PAGES[name]()

    assert (FOLDER / name).read_text() == printed, "run: python -m deploy.pages"


def test_every_command_stands_on_the_page_and_every_option_says_what_it_means() -> None:
    printed = PAGES["cli.md"]()

    names = [" ".join(path) for program, group in PROGRAMS.items() for path, _ in leaves(group, (program,))]
    assert len(names) > 30
    assert [name for name in names if f"### `{name}" not in printed] == []
    assert re.findall(r"^\| `-[^|]*\|  \|", printed, re.MULTILINE) == []


def test_every_error_kind_stands_on_the_page() -> None:
    printed = PAGES["errors.md"]()

    assert [kind for kind in (*all_errors(), *errors.OUTCOMES) if f"| `{kind}` |" not in printed] == []
    assert not set(errors.OUTCOMES) & set(all_errors())


def test_every_setting_says_what_it_means() -> None:
    printed = PAGES["settings.md"]()

    rows = [line for line in printed.splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_link_between_messages_has_a_section_to_go_to() -> None:
    printed = PAGES["messages.md"]()

    sections = {title.lower() for title in re.findall(r"^### (\w+)$", printed, re.MULTILINE)}
    links = set(re.findall(r"\(#(\w+)\)", printed))
    assert len(ANSWERS) == 17
    assert links
    assert links <= sections
