"""Asks one health check, once, in a thread and an event loop of its own.

Why not one loop for all: a check of somebody else that blocks instead of awaiting would silence all the others and
the executor with them, just when a rollback must be decided. So each has its own daemon thread. One that hangs is
left behind; it is not asked again until that thread has ended, so there is at most one such thread per check.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from node_executor.health.check import CheckContext, CheckOutcome, result_of
from node_executor.health.plugins import PlannedCheck
from shared.messages import CheckResult

#: Seconds that a check gets beyond its timeout to end after it was cancelled.
GRACE = 0.25


class Asker:
    """Asks one check as often as wanted, one question at a time."""

    def __init__(self, plan: PlannedCheck, context: CheckContext, monotonic: Callable[[], float]) -> None:
        """Ask ``plan``'s check about ``context``; durations are measured with ``monotonic``, in seconds."""
        self.plan = plan
        self._context = context
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._left_behind: threading.Thread | None = None

    def start(self, limit: float, tell: Callable[[CheckResult], None]) -> Question:
        """Begin to ask; ``tell`` is called in the other thread, once, unless the question is given up."""
        with self._lock:
            hangs = self._left_behind is not None and self._left_behind.is_alive()
        question = Question(self, min(limit, self.plan.timeout), tell)
        if hangs:
            question.answer(CheckOutcome.undecided("still hangs since an earlier round"))
        else:
            question.begin()
        return question

    def leave_behind(self, thread: threading.Thread) -> None:
        """Remember that ``thread`` may hang."""
        with self._lock:
            self._left_behind = thread

    def line(self, outcome: CheckOutcome, since: float) -> CheckResult:
        """Return the report's line for ``outcome`` of a question asked at ``since``."""
        duration = self._monotonic() - since
        return result_of(self.plan.name, outcome, critical=self.plan.critical, duration=duration)

    def now(self) -> float:
        """Return the clock's seconds."""
        return self._monotonic()

    async def ask(self, limit: float) -> CheckOutcome:
        """Ask within ``limit`` seconds; whatever happens becomes an outcome."""
        try:
            async with asyncio.timeout(limit) as deadline:
                outcome = await self.plan.check.check(self._context)
        except TimeoutError as error:
            if deadline.expired():
                return CheckOutcome.undecided(f"no answer within {limit:g} s")
            return _crash(error)
        except Exception as error:  # noqa: BLE001 - somebody else's code may raise anything
            return _crash(error)
        if not isinstance(outcome, CheckOutcome):
            return CheckOutcome.undecided(f"answered {outcome!r:.80} and not a CheckOutcome")
        return outcome


class Question:
    """One question under way."""

    def __init__(self, asker: Asker, limit: float, tell: Callable[[CheckResult], None]) -> None:
        self.name = asker.plan.name
        self.limit = limit
        self._asker = asker
        self._tell = tell
        self._since = asker.now()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[CheckOutcome] | None = None
        self._thread = threading.Thread(target=self._run, name=f"health-{self.name}", daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def answer(self, outcome: CheckOutcome) -> None:
        """Tell ``outcome``."""
        self._tell(self._asker.line(outcome, self._since))

    def give_up(self, reason: str) -> CheckResult:
        """Cancel the question, whose answer is no longer wanted, and return the line that stands for it."""
        if self._thread.is_alive():
            self._asker.leave_behind(self._thread)
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just been closed: the check has ended by itself
                loop.call_soon_threadsafe(task.cancel)
        return self._asker.line(CheckOutcome.undecided(reason), self._since)

    async def _main(self) -> CheckOutcome:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._asker.ask(self.limit))
        return await self._task

    def _run(self) -> None:
        try:
            outcome = asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - even SystemExit of a plug-in ends here
            outcome = _crash(error)
        self.answer(outcome)


def _crash(error: BaseException) -> CheckOutcome:
    return CheckOutcome.undecided(f"crashed with {type(error).__name__}: {error}")
