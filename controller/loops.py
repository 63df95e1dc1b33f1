"""A step repeated until the process ends: what engine, dispatch and ingest have in common.

A step that fails is tried again with growing pauses: every step derives what to do from the database, so nothing is
lost by trying later, and a database or Redis that is away for a while must not end the controller.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import structlog

from shared.errors import FleetError

log = structlog.get_logger(__name__)

#: Seconds before the first new attempt, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Loop:
    """Repeats ``step``, which returns the seconds to pause; ``wake`` ends a pause early, ``stop`` ends the loop."""

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        self.name = name
        self._step = step
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._failures = 0

    def wake(self) -> None:
        """Take the next step now. Safe from any thread; several calls during one step are one."""
        self._woken.set()

    def stop(self) -> None:
        """End the loop after the step that is being taken."""
        self._stopped.set()
        self._woken.set()

    def run(self) -> None:
        """Take steps until ``stop``."""
        log.info("loop started", loop=self.name)
        while True:
            self._woken.clear()  # before the step: what happens during it is looked at by the next one
            if self._stopped.is_set():  # after the clearing, which would else forget a stop that has just come
                break
            self._woken.wait(self._attempt())
        log.info("loop ended", loop=self.name)

    def _attempt(self) -> float:
        try:
            pause = self._step()
        except FleetError as error:
            self._failures += 1
            log.warning("step failed", loop=self.name, kind=error.kind, error=error.message, failures=self._failures)
        except Exception:
            self._failures += 1
            log.exception("step failed", loop=self.name, failures=self._failures)
        else:
            self._failures = 0
            return pause
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(self._failures - 1, 10)))
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries; no secret
