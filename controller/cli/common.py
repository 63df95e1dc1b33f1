"""The options that every command takes, before or after its name, and what they were set to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound="Callable[..., Any] | click.Command")

KINDS = ("controller", "node")


@dataclass
class Common:
    """What was said on the command line; None: nothing."""

    context: str | None = None
    address: str | None = None
    kind: str | None = None
    tls_dir: Path | None = None
    server_name: str | None = None
    output: str | None = None

    @property
    def json(self) -> bool:
        """Whether answers are for scripts."""
        return self.output == "json"


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    # The same option may stand before and after the command's name; the later one wins.
    if value is not None:
        setattr(ctx.ensure_object(Common), str(param.name), value)


def _option(*names: str, text: str, **more: Any) -> click.Option:  # noqa: ANN401 - click's own
    return click.Option(names, help=text, callback=_remember, expose_value=False, **more)


def _options() -> list[click.Option]:
    return [
        _option("-o", "--output", type=click.Choice(["text", "json"]), text="For people (default) or for scripts."),
        _option("--context", metavar="NAME", text="The context to use [env: OSCTL_CONTEXT]."),
        _option("--address", metavar="HOST:PORT", text="Whom to ask, whatever the context says [env: OSCTL_ADDRESS]."),
        _option("--kind", type=click.Choice(KINDS), text="What answers at --address [env: OSCTL_KIND]."),
        _option(
            "--tls-dir",
            metavar="FOLDER",
            type=click.Path(path_type=Path),
            text="Folder with ca.crt, tls.crt and tls.key [env: OSCTL_TLS_DIR].",
        ),
        _option("--server-name", metavar="NAME", text="Name in the server's certificate, if not that of the address."),
    ]


def common_options(function: F) -> F:
    """Add the common options to a command; their values land in the context's ``Common``."""
    if isinstance(function, click.Command):
        function.params.extend(_options())
        return function
    # click collects decorators from the innermost outwards and reverses the list.
    memo = list(reversed(_options()))
    function.__click_params__ = [*getattr(function, "__click_params__", []), *memo]  # type: ignore[attr-defined]  # click's own hook
    return function
