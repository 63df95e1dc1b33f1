"""``matic-controller``: the controller's own command line. No logic here; ``osctl`` is the one for people."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from controller.cli.exits import of_error
from controller.process import EVERYTHING, Part, Process
from controller.settings import DEFAULT_FILE, Settings, load
from controller.store.store import Store
from shared.errors import FleetError
from shared.logs import configure

F = TypeVar("F", bound=Callable[..., Any])

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="MATIC_CONTROLLER_CONFIG",
    help=f"Settings of this controller.  [default: {DEFAULT_FILE}, if it is there]",
)


def _told(command: F) -> F:
    """Turn errors into one line with cause and cure, and an exit code, which means the same as one of osctl's."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any command
        try:
            return command(*args, **kwargs)
        except FleetError as error:
            click.echo(f"matic-controller: {error.message}", err=True)
            if error.cure:
                click.echo(f"  cure: {error.cure}", err=True)
            sys.exit(of_error(error))

    return run  # type: ignore[return-value] # wraps keeps the signature


@click.group()
def controller() -> None:
    """Decide for the fleet: take requests, open waves, send orders, take in what nodes report."""


def _settings(config: Path | None) -> Settings:
    """Return the settings, with logging set up as they say."""
    settings = load(config)
    configure(settings.log_format, settings.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its plugin list is nobody's news
    return settings


def _run(config: Path | None, parts: frozenset[Part]) -> None:
    Process(_settings(config), parts).run()


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
    store = Store(_settings(config).database_url)
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
