"""Rounds, retries and patience, on a clock that only moves when the checker waits."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from node_executor.health import HealthChecker
from shared.messages import HealthPolicy, HealthReport
from shared.states import Verdict
from tests.support.checks import HEALTHY, UNDECIDED, UNHEALTHY, Clock, Scripted, checker, context, plan

POLICY = HealthPolicy(timeout=300, retry_interval=10, max_retries=30)


def test_a_healthy_first_round_returns_at_once() -> None:
    clock = Clock()

    report = checker(plan("a", Scripted(HEALTHY)), clock=clock).run(POLICY, threading.Event())

    assert (report.verdict, report.rounds, clock.waits) == (Verdict.HEALTHY, 1, [])


def test_a_degraded_first_round_returns_at_once() -> None:
    clock = Clock()
    optional = plan("b", Scripted(UNHEALTHY), critical=False)

    report = checker(plan("a", Scripted(HEALTHY)), optional, clock=clock).run(POLICY, threading.Event())

    assert (report.verdict, report.rounds, clock.waits) == (Verdict.DEGRADED, 1, [])


@pytest.mark.parametrize("failing", [UNHEALTHY, UNDECIDED], ids=["unhealthy", "undecided"])
def test_a_critical_failure_is_asked_again_until_it_is_well(failing: object) -> None:
    clock = Clock()

    report = checker(plan("a", Scripted(failing, failing, HEALTHY)), clock=clock).run(POLICY, threading.Event())

    assert (report.verdict, report.rounds, clock.waits) == (Verdict.HEALTHY, 3, [10.0, 10.0])


@pytest.mark.parametrize("failing", [UNHEALTHY, UNDECIDED], ids=["unhealthy", "undecided"])
def test_retries_run_out(failing: object) -> None:
    check = Scripted(failing)

    report = checker(plan("a", check)).run(HealthPolicy(max_retries=4), threading.Event())

    assert (report.verdict, report.rounds, check.asked) == (Verdict.UNHEALTHY, 5, 5)


def test_no_retry_is_one_round() -> None:
    report = checker(plan("a", Scripted(UNHEALTHY))).run(HealthPolicy(max_retries=0), threading.Event())

    assert (report.verdict, report.rounds) == (Verdict.UNHEALTHY, 1)


def test_time_runs_out_before_the_retries_do() -> None:
    clock = Clock()
    policy = HealthPolicy(timeout=35, retry_interval=10, max_retries=30)

    report = checker(plan("a", Scripted(UNHEALTHY)), clock=clock).run(policy, threading.Event())

    assert (report.verdict, report.rounds, clock.seconds) == (Verdict.UNHEALTHY, 4, 1030.0)


def test_no_round_is_waited_for_that_would_begin_too_late() -> None:
    clock = Clock()
    policy = HealthPolicy(timeout=5, retry_interval=10, max_retries=30)

    report = checker(plan("a", Scripted(UNHEALTHY)), clock=clock).run(policy, threading.Event())

    assert (report.rounds, clock.waits) == (1, [])


def test_every_round_is_shown() -> None:
    shown: list[HealthReport] = []

    last = checker(plan("a", Scripted(UNHEALTHY, HEALTHY))).run(POLICY, threading.Event(), shown.append)

    assert [(r.rounds, r.verdict) for r in shown] == [(1, Verdict.UNHEALTHY), (2, Verdict.HEALTHY)]
    assert shown[-1] == last


def test_a_cancel_in_the_pause_ends_it_at_once_undecided() -> None:
    cancelled = threading.Event()
    waiting = HealthChecker([plan("a", Scripted(UNHEALTHY))], context())
    policy = HealthPolicy(timeout=86400, retry_interval=3600)

    report = waiting.run(policy, cancelled, on_round=lambda _: cancelled.set())

    assert (report.verdict, report.rounds) == (Verdict.UNDECIDED, 1)


def test_once_asks_every_check_one_time_and_fails_on_what_is_not_known() -> None:
    first, second = Scripted(HEALTHY), Scripted(UNDECIDED)

    report = checker(plan("a", first), plan("b", second)).once()

    assert (first.asked, second.asked) == (1, 1)
    assert [line.name for line in report.checks] == ["a", "b"]
    assert report.verdict is Verdict.UNHEALTHY


def test_a_report_says_when_and_how_long_and_why() -> None:
    at = datetime(2026, 1, 27, 1, 0, tzinfo=UTC)
    ticks = iter([2.0, 2.045])
    reporter = HealthChecker([plan("a", Scripted(HEALTHY))], context(), monotonic=lambda: next(ticks), now=lambda: at)

    report = reporter.once()

    assert report.checked_at == at
    assert (report.checks[0].duration_ms, report.checks[0].message) == (45.0, "fine")
