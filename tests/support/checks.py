"""Health checks for tests: real ones that do on purpose what checks of other people do by accident."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from node_executor.health import CheckContext, CheckOutcome, HealthChecker, PlannedCheck
from shared.messages import CheckResult, HealthReport

HEALTHY = CheckOutcome.healthy("fine")
UNHEALTHY = CheckOutcome.unhealthy("broken")
UNDECIDED = CheckOutcome.undecided("cannot say")


def context(**changes: Any) -> CheckContext:
    """Return the context of a node that is well, with ``changes``."""
    fields: dict[str, Any] = {"uptime": lambda: 60.0, "executor_alive": lambda: True, "api_address": "127.0.0.1:1"}
    return CheckContext(**(fields | changes))


class Scripted:
    """Answers as listed, the last one for ever; counts how often it was asked."""

    critical = True

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.asked = 0

    async def check(self, context: CheckContext) -> CheckOutcome:
        """Give the next answer."""
        del context
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, BaseException):
            raise answer
        outcome: CheckOutcome = answer  # a wrong type is one of the tricks
        return outcome


class Awaiting:
    """Awaits for ever; says whether it was cancelled."""

    critical = True

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.cancelled = threading.Event()

    async def check(self, context: CheckContext) -> CheckOutcome:
        """Never answer."""
        del context
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return HEALTHY


class Blocking:
    """Blocks its thread, which no timeout of asyncio can end, until it is let go."""

    critical = True

    def __init__(self) -> None:
        self.asked = 0
        self.let_go = threading.Event()
        self.ended = threading.Event()

    async def check(self, context: CheckContext) -> CheckOutcome:
        """Answer when let go."""
        del context
        self.asked += 1
        self.let_go.wait()
        self.ended.set()
        return HEALTHY


@contextmanager
def blocking() -> Iterator[Blocking]:
    """Return a blocking check that is let go at the end, so that its thread does not outlive the test."""
    check = Blocking()
    try:
        yield check
    finally:
        check.let_go.set()


@dataclass
class Clock:
    """A clock that only moves when somebody waits, and notes each wait."""

    seconds: float = 1000.0
    waits: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        """Return the seconds, which stand still."""
        return self.seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let ``seconds`` pass."""
        self.waits.append(seconds)
        self.seconds += seconds
        return event.is_set()


def plan(name: str, check: Any, *, critical: bool = True, timeout: float = 5.0) -> PlannedCheck:
    """Plan ``check`` by hand."""
    return PlannedCheck(name=name, check=check, critical=critical, timeout=timeout)


def checker(*plans: PlannedCheck, clock: Clock | None = None, about: CheckContext | None = None) -> HealthChecker:
    """Return a checker on ``clock``."""
    clock = clock or Clock()
    return HealthChecker(plans, about or context(), monotonic=clock.monotonic, wait=clock.wait)


def by_name(report: HealthReport) -> Mapping[str, CheckResult]:
    """Return the report's lines by check."""
    return {line.name: line for line in report.checks}


def in_thread(work: Callable[[], HealthReport]) -> tuple[threading.Thread, Sequence[HealthReport]]:
    """Run ``work`` in a started thread; the list holds its report once it has ended."""
    reports: list[HealthReport] = []
    thread = threading.Thread(target=lambda: reports.append(work()), daemon=True)
    thread.start()
    return thread, reports
