"""osctl as people and pipelines run it: its own process, its own settings, nothing from this machine's user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.tls import TlsFiles

#: The program as it is installed beside the interpreter.
PROGRAM = Path(sys.executable).with_name("osctl")


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stdout holds, read as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error on stderr, read as JSON."""
        document: dict[str, dict[str, Any]] = json.loads(self.err)
        return document["error"]


@dataclass
class Osctl:
    """Runs osctl against ``address`` with the certificate in ``files``; settings live in ``folder``."""

    folder: Path
    address: str = ""
    kind: str = "controller"
    files: TlsFiles | None = None
    environ: dict[str, str] = field(default_factory=dict)

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("OSCTL_", "XDG_"))}
        own |= {"OSCTL_CONFIG": str(self.folder / "osctl.json"), "NO_COLOR": "1"}
        if self.address:
            own |= {"OSCTL_ADDRESS": self.address, "OSCTL_KIND": self.kind}
        if self.files:
            own["OSCTL_TLS_DIR"] = str(self.files.ca.parent)
        return own | self.environ

    def __call__(self, *arguments: str, patience: float = 60) -> Result:
        """Run to the end."""
        done = subprocess.run(
            [PROGRAM, *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start, and let the test read what it prints while it runs."""
        return subprocess.Popen(
            [PROGRAM, *arguments],
            env=self._environment(),
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )


def finish(process: subprocess.Popen[str], patience: float = 60) -> Result:
    """Wait for the end of a process that was started; what was already read is not in the result."""
    out, err = process.communicate(timeout=patience)
    return Result(process.returncode, out, err)
