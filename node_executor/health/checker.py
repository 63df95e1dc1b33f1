"""The health probe: asks all checks in rounds until they are well, or patience is over (requirements H3, H4)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from node_executor.health.asker import GRACE, Asker, Question
from node_executor.health.check import CheckContext
from node_executor.health.plugins import PlannedCheck
from node_executor.health.verdicts import verdict_of
from shared.messages import CheckResult, HealthPolicy, HealthReport
from shared.states import Verdict

log = structlog.get_logger(__name__)

#: Seconds after which a cancelled probe has noticed it, at the latest.
_NOTICE = 0.05

OnRound = Callable[[HealthReport], None]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class HealthChecker:
    """Fulfils ``ports.HealthProbe``. May be asked from several threads at once."""

    def __init__(
        self,
        checks: Sequence[PlannedCheck],
        context: CheckContext,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Take what to ask and what it may know.

        Args:
            checks: from ``plan_checks``.
            context: what the checks may know of the node.
            monotonic: seconds; measures patience and durations.
            wait: waits on an event for some seconds, and returns whether it was set: the pause between two rounds.
            now: the wall clock for reports.
        """
        self._askers = [Asker(plan, context, monotonic) for plan in checks]
        self._monotonic = monotonic
        self._wait = wait
        self._now = now

    def once(self) -> HealthReport:
        """Ask every check one time, each with its own timeout."""
        return self._report(self._round(float("inf"), threading.Event()), rounds=1)

    def run(self, policy: HealthPolicy, cancelled: threading.Event, on_round: OnRound | None = None) -> HealthReport:
        """Ask in rounds until healthy or degraded, out of retries, or out of time.

        A round that fails is repeated after ``policy.retry_interval``, at most ``policy.max_retries`` times, unless the
        next one would begin after ``policy.timeout``. When ``cancelled`` is set, the verdict is undecided.
        """
        end = self._monotonic() + policy.timeout
        rounds = 0
        while True:
            rounds += 1
            results = self._round(end - self._monotonic(), cancelled)
            report = self._report(results, rounds=rounds)
            if cancelled.is_set():
                return report.model_copy(update={"verdict": Verdict.UNDECIDED})
            _log_round(report)
            if on_round is not None:
                on_round(report)
            patience = rounds <= policy.max_retries and self._monotonic() + policy.retry_interval < end
            if report.verdict is not Verdict.UNHEALTHY or not patience:
                return report
            if self._wait(cancelled, policy.retry_interval):
                return report.model_copy(update={"verdict": Verdict.UNDECIDED})

    def _report(self, results: Sequence[CheckResult], *, rounds: int) -> HealthReport:
        return HealthReport(verdict=verdict_of(results), checked_at=self._now(), checks=tuple(results), rounds=rounds)

    def _round(self, allowance: float, cancelled: threading.Event) -> list[CheckResult]:
        told: queue.SimpleQueue[CheckResult] = queue.SimpleQueue()
        questions = [asker.start(allowance, told.put) for asker in self._askers]
        answers = _collect(questions, told, cancelled)
        reason = "not waited for: the probe was cancelled" if cancelled.is_set() else "hangs and cannot be stopped"
        return [answers.get(q.name) or q.give_up(reason) for q in questions]


def _collect(
    questions: Sequence[Question], told: queue.SimpleQueue[CheckResult], cancelled: threading.Event
) -> dict[str, CheckResult]:
    # Measured with the real clock: other threads are waited for, and they do not run on an injected one.
    begin = time.monotonic()
    answers: dict[str, CheckResult] = {}
    while not cancelled.is_set():
        open_limits = [q.limit for q in questions if q.name not in answers]
        left = begin + max(open_limits, default=0.0) + GRACE - time.monotonic()
        if not open_limits or left <= 0:
            break
        try:
            answer = told.get(timeout=min(left, _NOTICE))
        except queue.Empty:
            continue
        answers[answer.name] = answer
    return answers


def _log_round(report: HealthReport) -> None:
    failing = {c.name: c.message for c in report.checks if c.verdict is not Verdict.HEALTHY}
    log.info("health round", verdict=str(report.verdict), round=report.rounds, failing=failing)
