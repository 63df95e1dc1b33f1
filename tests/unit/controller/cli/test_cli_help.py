"""The command tree: complete, quick to show, and kind to typing errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from controller.cli.lazy import Lazy, LazyGroup
from controller.cli.main import run
from controller.cli.tree import root


def _leaves(group: LazyGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Lazy]]:
    for name, entry in group.table.items():
        if isinstance(entry, LazyGroup):
            yield from _leaves(entry, (*path, name))
        else:
            yield (*path, name), entry


_COMMANDS = dict(_leaves(root()))


@pytest.mark.parametrize("path", _COMMANDS, ids=" ".join)
def test_every_command_of_the_tree_can_be_loaded_under_its_name(path: tuple[str, ...]) -> None:
    command = _COMMANDS[path].load()

    assert isinstance(command, click.Command)
    assert command.name == path[-1]
    assert command.help


@pytest.mark.parametrize("arguments", [["--help"], ["schedule", "--help"], ["rollout"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import json, sys\n"
        "from controller.cli.main import run\n"
        f"run({arguments!r})\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    loaded = set(json.loads(result.stderr.splitlines()[-1]))
    assert "click" in loaded
    assert not loaded & {"grpc", "pydantic", "google", "rich", "cryptography", "structlog", "asyncio"}


def test_a_misspelt_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["rolout", "list"])

    assert code == 2
    assert "Did you mean 'rollout'" in capsys.readouterr().err


def test_usage_errors_are_json_where_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["schedule", "update", "--output=json", "--sha256", "0"])

    error = json.loads(capsys.readouterr().err)["error"]
    assert code == error["exit_code"] == 2
    assert error["kind"] == "invalid_input"
    assert "--source" in error["message"]
    assert error["cure"] == "see osctl schedule update --help"


def test_bytes_that_are_no_text_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["schedule", "status", b"\xff".decode(errors="surrogateescape")])

    assert code == 2
    assert "not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["completion", shell])

    assert code == 0
    assert "_OSCTL_COMPLETE" in capsys.readouterr().out
