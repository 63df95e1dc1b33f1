"""docs/reference/cli.md: every command of the three programs, from their click trees."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from controller.cli.common import common_options
from controller.cli.exits import Exit
from controller.cli.tree import root
from controller.main import controller
from deploy.pages.markdown import comments, head, table
from node_executor.cli import agent

PROGRAMS: dict[str, click.Group] = {"osctl": root(), "matic-controller": controller, "matic-agent": agent}

_TEXT = """
Three programs: `osctl` for people and pipelines, `matic-controller` on the controller's machine, `matic-agent`
on each node. `--help` behind any command says the same as this page.

Durations are written like `90s`, `10m`, `2h` or `1d`. A selector is a list of terms that must all hold:
`site=berlin,model!=x1,canary,!retired`.
"""

_EXITS = {
    Exit.DONE: "what was asked for is done; with `--wait`: and ended well",
    Exit.BUG: "an error that nobody foresaw, here or on the server",
    Exit.INTERRUPTED: "Ctrl-C",
}


def leaves(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that is no group, with its full name."""
    context = click.Context(group, info_name=path[-1])
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None  # noqa: S101 - it has just been listed
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


def render() -> str:
    """Return the page."""
    parts = [head("Commands", _TEXT), _exits(), _common()]
    for program, group in PROGRAMS.items():
        parts.append(f"## {program}\n\n{(group.help or '').strip()}\n")
        parts += [_command(path, command) for path, command in leaves(group, (program,))]
    return "\n".join(parts)


def _exits() -> str:
    said = comments(Exit)
    rows = [(str(int(code)), _EXITS.get(code) or said.get(code.name) or _words(code)) for code in Exit]
    return "\n".join(["## Exit codes of osctl\n", table(("Code", "Meaning"), rows)])


def _words(code: Exit) -> str:
    return code.name.lower().replace("_", " ")


def _common() -> str:
    command = common_options(click.Command("any"))
    text = "Every osctl command takes these, before or after its name.\n"
    return "\n".join(["## Options of every osctl command\n", text, _options(command.params)])


def _command(path: tuple[str, ...], command: click.Command) -> str:
    shared = {name for option in common_options(click.Command("any")).params for name in option.opts}
    own = [p for p in command.params if not (isinstance(p, click.Option) and set(p.opts) & shared)]
    arguments = [p.make_metavar(click.Context(command)) for p in own if isinstance(p, click.Argument)]
    lines = [
        f"### `{' '.join([*path, *arguments])}`\n",
        inspect.cleandoc(command.help or "").replace("\b\n", "") + "\n",
    ]
    if any(isinstance(parameter, click.Option) for parameter in own):
        lines.append(_options(own))
    return "\n".join(lines)


def _options(parameters: list[click.Parameter]) -> str:
    rows = [_row(option) for option in parameters if isinstance(option, click.Option)]
    return table(("Option", "Meaning", "Default"), rows)


def _row(option: click.Option) -> tuple[str, str, str]:
    takes = "" if option.is_flag else f" {option.make_metavar(click.Context(click.Command('any')))}"
    default = option.to_info_dict()["default"]
    shown = "required" if option.required else f"`{default}`" if option.show_default and default is not None else ""
    return f"`{', '.join(option.opts)}{takes}`", (option.help or "").partition("  [default")[0], shown
