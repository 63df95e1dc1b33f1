"""Command groups that import a command only when it is run; help comes from the table alone."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True)
class Lazy:
    """Where a command is found, and its line in the group's help."""

    path: str  #: "module:attribute" below this package
    help: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.path.partition(":")
        command: click.Command = getattr(importlib.import_module(f"controller.cli.{module}"), attribute)
        return command


class LazyGroup(click.Group):
    """A group whose members are ``Lazy`` entries, shown in the order of the table."""

    def __init__(self, *args: Any, table: Mapping[str, Lazy | LazyGroup], **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None if there is none of that name."""
        del ctx
        entry = self.table.get(cmd_name)
        return entry.load() if isinstance(entry, Lazy) else entry

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begin with; a misspelt one is answered with the nearest names."""
        if args and args[0] not in self.table and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.table)
            hint = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the section of commands without importing one of them."""
        del ctx
        rows = [(name, (entry.help or "").partition("\n")[0]) for name, entry in self.table.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
