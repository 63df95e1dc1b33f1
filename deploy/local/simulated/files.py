"""A state file in memory."""

from __future__ import annotations

import itertools

from deploy.local.simulated.machine import SimulatedMachine
from shared.errors import StateFileError


class MemoryFile:
    """``journal.Storage`` in memory; with a machine, each write has a point before and after."""

    def __init__(self, name: str, machine: SimulatedMachine | None = None) -> None:
        self._name = name
        self._machine = machine
        self._kept = itertools.count(1)
        self.content: bytes | None = None
        self.full = False  #: writes fail
        self.aside: list[bytes] = []

    def __str__(self) -> str:
        """Return the name, for messages."""
        return self._name

    def read(self) -> bytes | None:
        """See ``Storage``."""
        return self.content

    def write(self, content: bytes) -> None:
        """See ``Storage``."""
        if self.full:
            raise StateFileError(f"cannot write {self._name}: it is full")
        if self._machine is not None:
            self._machine.point()
        self.content = content
        if self._machine is not None:
            self._machine.point()

    def set_aside(self) -> str:
        """See ``Storage``."""
        self.aside.append(self.content or b"")
        self.content = None
        return f"{self._name}.unreadable-{next(self._kept)}"
