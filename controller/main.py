"""``matic-controller``: the controller's own command line. No logic here; ``osctl`` is the one for people."""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from controller.logs import configure
from controller.process import EVERYTHING, Part, Process
from controller.settings import DEFAULT_FILE, load
from controller.store.store import Store
from shared.errors import ConflictError, FleetError, InputError, NotFoundError, TransportError

F = TypeVar("F", bound=Callable[..., Any])

#: Exit codes, the same as osctl's.
_EXIT_CODES: tuple[tuple[type[FleetError], int], ...] = (
    (InputError, 2),
    (NotFoundError, 3),
    (ConflictError, 5),
    (TransportError, 6),
)

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="MATIC_CONTROLLER_CONFIG",
    help=f"Settings of this controller.  [default: {DEFAULT_FILE}, if it is there]",
)


def _told(command: F) -> F:
    """Turn errors into one line with cause and cure, and an exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any command
        try:
            return command(*args, **kwargs)
        except FleetError as error:
            click.echo(f"matic-controller: {error.message}", err=True)
            if error.cure:
                click.echo(f"  cure: {error.cure}", err=True)
            sys.exit(next((code for family, code in _EXIT_CODES if isinstance(error, family)), 1))

    return run  # type: ignore[return-value] # wraps keeps the signature


@click.group()
def controller() -> None:
    """Decide for the fleet: take requests, open waves, send orders, take in what nodes report."""


def _run(config: Path | None, parts: frozenset[Part]) -> None:
    settings = load(config)
    configure(settings.log_format, settings.log_level)
    Process(settings, parts).run()


@controller.command()
@_config
@_told
def serve(config: Path | None) -> None:
    """Run all parts in one process: all that one machine needs."""
    _run(config, EVERYTHING)


@controller.command()
@_config
@_told
def api(config: Path | None) -> None:
    """Run the gRPC API alone."""
    _run(config, frozenset({Part.API}))


@controller.command()
@_config
@_told
def engine(config: Path | None) -> None:
    """Run the engine alone, which opens waves and decides who gets an order."""
    _run(config, frozenset({Part.ENGINE}))


@controller.command()
@_config
@_told
def worker(config: Path | None) -> None:
    """Run the dispatcher alone, which puts orders on the nodes' queues."""
    _run(config, frozenset({Part.WORKER}))


@controller.command()
@_config
@_told
def ingest(config: Path | None) -> None:
    """Run the ingester alone, which takes in what nodes report."""
    _run(config, frozenset({Part.INGEST}))


@controller.command()
@_config
@_told
def migrate(config: Path | None) -> None:
    """Bring the database to this release's schema."""
    settings = load(config)
    configure(settings.log_format, settings.log_level)
    store = Store(settings.database_url)
    store.migrate()
    store.close()
    click.echo(f"{store.database}: the schema is this release's")


@controller.command()
def version() -> None:
    """Print the version."""
    click.echo(f"matic-controller {importlib.metadata.version('maticos-fleet')}")


def main() -> None:
    """Run the command line."""
    controller.main(prog_name="matic-controller")


if __name__ == "__main__":
    main()
