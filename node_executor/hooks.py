"""Runs the hooks that an order names: executables of one folder that belongs to the node's owner.

What a hook gets: no input, the folder ``/`` to work in, ``PATH``, ``HOME=/`` and ``LANG=C.UTF-8`` as set here, the
variables that the runner is called with (``MATIC_...``) and ``MATIC_HOOK``, its own name; nothing else of the
executor's environment. Exit code 0 is success. It must end within the timeout, and whatever it leaves running in its
process group is ended with it; a hook that starts something lasting asks systemd to.

An order only names a hook. So that nobody but root and the executor's own user decides what runs, the file and its
folder must belong to one of them and be writable by nobody else.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import structlog

from shared.errors import HookError

log = structlog.get_logger(__name__)

#: Seconds that a hook may take unless the node's settings say otherwise.
TIMEOUT = 300.0
#: Bytes of a hook's last output that are kept, logged and reported.
OUTPUT_BYTES = 2000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/",
    "LANG": "C.UTF-8",
}


class FolderHookRunner:
    """Fulfils ``ports.HookRunner`` with the executables of ``folder``."""

    def __init__(
        self, folder: Path, timeout: float = TIMEOUT, *, grace: float = 5.0, owners: frozenset[int] | None = None
    ) -> None:
        """Run hooks of ``folder``, which need not exist until one is named.

        Args:
            folder: where the hooks lie.
            timeout: seconds after which a hook is told to end.
            grace: seconds from that until it is killed.
            owners: user ids that a hook may belong to; None: root and the user who runs this.
        """
        self._folder = folder
        self._timeout = timeout
        self._grace = grace
        self._owners = owners if owners is not None else frozenset({0, os.geteuid()})

    def run(self, name: str, environment: Mapping[str, str]) -> None:
        """See ``ports.HookRunner.run``."""
        if not name:
            return
        program = self._find(name)
        begin = time.monotonic()
        try:
            process = subprocess.Popen(
                [program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**environment, **_ENVIRONMENT, "MATIC_HOOK": name},
                start_new_session=True,  # a process group of its own, to end it as a whole
            )
        except (OSError, ValueError) as error:
            raise HookError(
                f"cannot run hook {name}: {error}", cure=f"begin {program} with #! and its interpreter"
            ) from error
        ended, output = self._wait(process)
        seconds = round(time.monotonic() - begin, 3)
        log.info("hook ended", hook=name, exit_code=process.returncode, seconds=seconds, output=output)
        said = f"; its last output: {output}" if output else "; it printed nothing"
        if not ended:
            cure = f"make it faster, or raise the hooks' timeout of {self._timeout:g} s in the node's settings"
            raise HookError(f"cannot finish hook {name}: no end within {self._timeout:g} s{said}", cure=cure)
        if process.returncode != 0:
            cure = f"run {program} by hand on the node; it must exit with 0"
            raise HookError(f"cannot finish hook {name}: {_ending(process.returncode)}{said}", cure=cure)

    def _find(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise HookError(
                f"cannot run hook {name!r}: a hook's name has letters, digits, dot, dash and underscore only",
                cure=f"name a file of {self._folder}",
            )
        program = self._folder / name
        # The folder first: who can write there can exchange the file after it was looked at.
        self._check(name, self._folder, is_kind=stat.S_ISDIR, kind="folder")
        mode = self._check(name, program, is_kind=stat.S_ISREG, kind="regular file")
        if not mode & 0o111:
            raise HookError(f"cannot run hook {name}: {program} is not executable", cure=f"chmod 755 {program}")
        return program

    def _check(self, name: str, path: Path, *, is_kind: Callable[[int], bool], kind: str) -> int:
        try:
            found = path.lstat()
        except OSError as error:
            raise HookError(
                f"cannot run hook {name}: {path}: {error.strerror}",
                cure=f"put an executable {name} into {self._folder}",
            ) from error
        if not is_kind(found.st_mode):
            raise HookError(f"cannot run hook {name}: {path} is not a {kind}", cure=f"replace it by a {kind}")
        if found.st_uid not in self._owners:
            raise HookError(f"cannot run hook {name}: {path} belongs to user {found.st_uid}", cure=f"chown root {path}")
        if found.st_mode & 0o022:
            raise HookError(f"cannot run hook {name}: others may write to {path}", cure=f"chmod go-w {path}")
        return found.st_mode

    def _wait(self, process: subprocess.Popen[bytes]) -> tuple[bool, str]:
        """Return whether it ended in time, and the end of its output. Nothing of its group runs afterwards."""
        assert process.stdout is not None  # noqa: S101 - asked for above
        tail = _Tail(process.stdout)
        try:
            process.wait(self._timeout)
            ended = True
        except subprocess.TimeoutExpired:
            ended = False
            _signal_group(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self._grace)
        finally:
            _signal_group(process, signal.SIGKILL)
            process.wait()
        return ended, tail.text()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or taken over by a setuid program
        os.killpg(process.pid, number)


def _ending(code: int) -> str:
    if code > 0:
        return f"it exited with {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"


class _Tail:
    """Reads a pipe to its end in a thread, so that the writer never waits, and keeps the last bytes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._read, name="hook-output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._pipe:
            while chunk := os.read(self._pipe.fileno(), 65536):
                self._kept = (self._kept + chunk)[-OUTPUT_BYTES:]

    def text(self) -> str:
        """Return what came last. A process that left the group may hold the pipe open; it is not waited for."""
        self._thread.join(timeout=1.0)
        return self._kept.decode(errors="replace").strip()
