"""``osctl demo``: hands over to the demo, which lives outside of osctl."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

from shared.errors import NotFoundError

_MODULE = "deploy.local.demo"


@click.command(
    "demo", context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Run a whole fleet on this machine and roll out an update; ARGUMENTS go to the demo.

    Raises:
        NotFoundError: the demo is not part of this installation.
    """
    if not _installed():
        raise NotFoundError(
            "cannot run the demo: it is not part of this installation",
            cure="run it from a checkout: ./setup && ./osctl demo",
        )
    sys.stdout.flush()
    # Takes this process's place, so that signals reach the demo and its exit code reaches the caller.
    os.execv(sys.executable, [sys.executable, "-m", _MODULE, *arguments])  # noqa: S606 - a list, and no shell


def _installed() -> bool:
    try:
        return importlib.util.find_spec(_MODULE) is not None
    except ModuleNotFoundError:  # the package above it is missing
        return False
