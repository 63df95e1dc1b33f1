"""Time as a port: what waits can be tested without waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that people set, one that only runs."""

    def now(self) -> datetime:
        """Return the instant, aware, in UTC. It may jump when the clock is set."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never jump, for durations."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the system time."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return CLOCK_MONOTONIC."""
        return time.monotonic()
