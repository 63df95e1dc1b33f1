"""``matic-agent``: the executor's own command line. No logic here; ``osctl`` is the one for people."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from shared.errors import ConflictError, FleetError, InputError, NotFoundError

F = TypeVar("F", bound=Callable[..., Any])

#: Exit codes, the same as osctl's.
_EXIT_CODES: tuple[tuple[type[FleetError], int], ...] = ((InputError, 2), (NotFoundError, 3), (ConflictError, 5))
_MIB = 1 << 20
_SIZES = {"": 1, "K": 1 << 10, "M": _MIB, "G": 1 << 30}


class Size(click.ParamType[int]):
    """Bytes, with K, M or G for powers of 1024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        """Return the number of bytes."""
        text = str(value).upper().removesuffix("IB").removesuffix("B")
        digits = text.rstrip("KMG")
        if not digits.isdigit() or text[len(digits) :] not in _SIZES:
            self.fail(f"{value!r} is not a size like 512M or 2G", param, ctx)
        return int(digits) * _SIZES[text[len(digits) :]]


def _told(command: F) -> F:
    """Turn errors into one line with cause and cure, and an exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any command
        try:
            return command(*args, **kwargs)
        except FleetError as error:
            click.echo(f"matic-agent: {error.message}", err=True)
            if error.cure:
                click.echo(f"  cure: {error.cure}", err=True)
            sys.exit(next((code for family, code in _EXIT_CODES if isinstance(error, family)), 1))

    return run  # type: ignore[return-value] # wraps keeps the signature


_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("/etc/matic/agent.toml"),
    show_default=True,
    envvar="MATIC_CONFIG",
    help="Settings of this node.",
)


@click.group()
def agent() -> None:
    """Execute updates on this node: flash, switch, prove, roll back."""


@agent.command()
@_config
@_told
def run(config: Path) -> None:
    """Run the executor until it is asked to end."""
    from node_executor.agent import Agent  # noqa: PLC0415 - gRPC and all: only this command needs them
    from node_executor.settings import load  # noqa: PLC0415
    from shared.logs import configure  # noqa: PLC0415

    settings = load(config)
    configure(settings.log_format, settings.log_level, node_id=settings.node_id)
    code = Agent(settings).run()
    logging.shutdown()
    # All files are closed. Taking 800 modules apart would be 0.15 s of work between an update and its reboot.
    os._exit(code)


@agent.command("provision-disk")
@click.argument("disk", type=click.Path(path_type=Path))
@click.option("--slot-size", type=Size(), required=True, help="Size of each of the two slots, for example 2G.")
@click.option("--size", type=Size(), help="Size of an image file that is made; default: what the layout needs.")
@click.option("--data-size", type=Size(), help="Size of the data partition; default: the rest.")
@click.option("--boot-size", type=Size(), default="32M", show_default=True, help="Size of the boot partition.")
@click.option("--force", is_flag=True, help="Lay out a disk that carries something. Its content is lost.")
@_told
def provision_disk(  # noqa: PLR0913 - one for each option
    disk: Path, slot_size: int, size: int | None, data_size: int | None, boot_size: int, *, force: bool
) -> None:
    """Lay out DISK, a block device or an image file, with two slots; slot A is marked good."""
    from node_executor.boot.provision import provision_disk as provision  # noqa: PLC0415

    provision(disk, slot_size=slot_size, size=size, data_size=data_size, boot_size=boot_size, force=force)
    click.echo(f"{disk}: 1 boot, 2 slot A, 3 slot B, 4 data; slot A is marked good")


@agent.command()
@_config
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_told
def status(config: Path, *, as_json: bool) -> None:
    """Show slots, schedules and rollback state from the disk; the executor need not run."""
    from node_executor.settings import load  # noqa: PLC0415
    from node_executor.status import collect, render  # noqa: PLC0415

    found = collect(load(config))
    click.echo(found.model_dump_json(indent=2) if as_json else render(found))


@agent.command()
def version() -> None:
    """Print the version."""
    click.echo(f"matic-agent {importlib.metadata.version('maticos-fleet')}")
