"""A private PostgreSQL server for tests: real, in a temporary folder, on a unix socket only, never as root."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from shared.errors import NotFoundError, TransportError

#: Whom the server runs as when the tests run as root, which PostgreSQL refuses to be.
_ACCOUNT = "postgres"
_START_SECONDS = 30.0
_LOOK_SECONDS = 0.05


def find_binaries() -> Path:
    """Return the folder of ``initdb`` and ``postgres``; Debian keeps them off PATH.

    Raises:
        NotFoundError: PostgreSQL is not installed.
    """
    on_path = shutil.which("initdb")
    found = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if not found or not (found[0] / "initdb").exists():
        raise NotFoundError("cannot find PostgreSQL: initdb is not installed", cure="install the package postgresql")
    return found[0]


class PostgresServer:
    """One server; ``create`` gives an empty database of its own to whoever asks."""

    def __init__(self) -> None:
        self._binaries = find_binaries()
        self._folder = Path(tempfile.mkdtemp(prefix="matic-pg-"))
        self._as: dict[str, Any] = {"cwd": self._folder, "env": os.environ | {"LC_ALL": "C", "TZ": "UTC"}}
        if os.geteuid() == 0:
            account = pwd.getpwnam(_ACCOUNT)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
            self._as |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the server.

        Raises:
            TransportError: it does not answer in time; the message holds its log.
        """
        data, log = self._folder / "data", self._folder / "log"
        initdb: list[str | Path] = [
            self._binaries / "initdb",
            "-D",
            data,
            "-U",
            _ACCOUNT,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **self._as)
        # No fsync: these tests kill our processes, not the machine under the database.
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "timezone=Europe/Berlin"]
        command: list[str | Path] = [self._binaries / "postgres", "-D", data, "-k", self._folder, *options]
        with log.open("wb") as output:
            self._process = process = subprocess.Popen(command, stdout=output, stderr=output, **self._as)
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._administer("SELECT 1")
            except psycopg.OperationalError as error:
                if time.monotonic() > until or process.poll() is not None:
                    self.__exit__(None, None, None)
                    raise TransportError(f"cannot start PostgreSQL: {error}") from error
                time.sleep(_LOOK_SECONDS)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server and remove its folder."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast": SIGTERM would wait for every client to leave
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def create(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"fleet{next(self._numbers)}"
        self._administer(f"CREATE DATABASE {name}")
        return f"postgresql://{_ACCOUNT}@/{name}?host={self._folder}"

    def _administer(self, statement: str) -> None:
        with psycopg.connect(host=str(self._folder), user=_ACCOUNT, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement)
