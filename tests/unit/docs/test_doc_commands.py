"""Every command and option that the documentation names exists, in blocks of code and in running text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from deploy.pages.commands import PROGRAMS
from tests.support.documents import PAGES, blocks, name_of

#: Options of our demo and of the fleet for trying things, which are no click commands.
_DEMO = {"--nodes", "--keep"}
#: Words that end a command in a shell.
_ENDS = {"|", "||", "&&", ";", ";;"}


def spoken(page: Path) -> Iterator[str]:
    """Yield what the page tells a reader to type."""
    for language in ("sh", "console"):
        for block in blocks(page, language):
            yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))


def calls(line: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each call of one of our programs in a line, with its words."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a quotation mark of running text
        words = line.split()
    starts = [number for number, word in enumerate(words) if Path(word).name in PROGRAMS]
    for start in starts:
        rest = words[start + 1 :]
        end = next((number for number, word in enumerate(rest) if word in _ENDS), len(rest))
        yield Path(words[start]).name, rest[:end]


def problem(program: str, words: list[str]) -> str | None:
    """Return what is wrong with a call, or None."""
    command: click.Command = PROGRAMS[program]
    said = [word.partition("=")[0] for word in words]
    taken = 0
    while isinstance(command, click.Group) and taken < len(said) and not said[taken].startswith("-"):
        found = command.get_command(click.Context(command), said[taken])
        if found is None:
            # "osctl doctor, version": prose may name a command in capitals or as ``rollout create|list``
            names = said[taken].split("|")
            known = all(command.get_command(click.Context(command), name) for name in names)
            return None if known else f"{program} has no command {' '.join(said[: taken + 1])}"
        command, taken = found, taken + 1
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options |= {"--help", "-h"} | (_DEMO if command.name == "demo" else set())
    unknown = [word for word in said[taken:] if re.fullmatch(r"--?[a-z][a-z0-9-]*", word) and word not in options]
    return f"{program} {command.name} has no option {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    found = [call for line in spoken(page) for call in calls(line)]

    problems = [wrong for program, words in found if (wrong := problem(program, words))]

    assert problems == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_in_running_text_is_one_of_ours(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    known = _DEMO | {"--help", "--durations", "--dev", "--version"}
    for group in PROGRAMS.values():
        known |= _options(group)

    alone = set(re.findall(r"`(--[a-z0-9-]+)[^`\n]*`", text))

    assert sorted(alone - known) == []


def _options(command: click.Command) -> set[str]:
    own = {name for parameter in command.params for name in parameter.opts}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            member = command.get_command(context, name)
            own |= _options(member) if member else set()
    return own


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("osctl rollout create --wait", None),
        ("osctl rolout create", "osctl has no command rolout"),
        ("osctl rollout create --wiat", "osctl create has no option --wiat"),
        ("x=$(osctl node list --all) || true", None),
        ("matic-agent statsu", "matic-agent has no command statsu"),
    ],
    ids=["right", "wrong-command", "wrong-option", "inside-shell", "other-program"],
)
def test_this_test_sees_mistakes(line: str, expected: str | None) -> None:
    (found,) = list(calls(line.replace("$(", " ").replace(")", "")))

    assert problem(*found) == expected
