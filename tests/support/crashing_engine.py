"""An engine that dies by SIGKILL round its commit, as a process of its own.

Run as ``python -m tests.support.crashing_engine WHERE DATABASE``; WHERE is ``before-commit`` (all rows written, none
of them durable) or ``after-commit`` (durable, and nobody told).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from sqlalchemy import Connection, event

from controller.engine import Engine
from controller.store.store import Store
from tests.support.rollouts import NOW


def die(_connection: Connection | None = None) -> None:
    """End at once, as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(where: str, database: str) -> None:
    """Take one step, and die in it."""
    store = Store(database)
    if where == "before-commit":
        written = {"rows": False}

        def note(*args: object) -> None:
            written["rows"] = written["rows"] or "INSERT INTO orders" in str(args[2])

        def die_if_written(_connection: Connection) -> None:
            if written["rows"]:
                die()

        event.listen(store.engine, "before_cursor_execute", note)
        event.listen(store.engine, "commit", die_if_written)
    Engine(store, clock=lambda: NOW, dispatch=die).step()


def crash(where: str, store: Store) -> None:
    """Run an engine that dies at ``where``; return when it is dead.

    Raises:
        AssertionError: it did not die by SIGKILL.
    """
    url = store.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.support.crashing_engine", where, url]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr


if __name__ == "__main__":
    main(*sys.argv[1:3])
