"""``osctl completion``: scripts for shells."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from controller.cli.common import common_options


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common_options
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    For bash: eval "$(osctl completion bash)".
    """
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click.Choice admits only shells that click knows
    click.echo(found(ctx.find_root().command, {}, "osctl", "_OSCTL_COMPLETE").source())
