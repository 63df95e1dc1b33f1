"""Whatever a check does, the others are heard and the executor lives."""

from __future__ import annotations

import threading

import pytest

from node_executor.health import CheckOutcome, HealthChecker
from node_executor.health.check import MESSAGE_LENGTH
from shared.messages import HealthPolicy
from shared.states import Verdict
from tests.support.checks import (
    HEALTHY,
    Awaiting,
    Scripted,
    blocking,
    by_name,
    checker,
    context,
    in_thread,
    plan,
)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ValueError("boom"), "crashed with ValueError: boom"),
        (SystemExit(3), "crashed with SystemExit: 3"),
        (TimeoutError("its own"), "crashed with TimeoutError: its own"),
        ("healthy", "answered 'healthy' and not a CheckOutcome"),
        (None, "answered None and not a CheckOutcome"),
    ],
    ids=["exception", "exit", "own timeout", "a string", "nothing"],
)
def test_a_check_that_misbehaves_is_undecided_and_the_others_are_heard(answer: object, message: str) -> None:
    report = checker(plan("bad", Scripted(answer)), plan("good", Scripted(HEALTHY))).once()

    lines = by_name(report)
    assert (lines["bad"].verdict, lines["bad"].message) == (Verdict.UNDECIDED, message)
    assert lines["good"].verdict is Verdict.HEALTHY


@pytest.mark.parametrize(("critical", "verdict"), [(True, Verdict.UNHEALTHY), (False, Verdict.DEGRADED)])
def test_a_crash_counts_by_the_critical_flag(critical: bool, verdict: Verdict) -> None:  # noqa: FBT001 - a parameter
    report = checker(plan("bad", Scripted(ValueError("boom")), critical=critical)).once()

    assert report.verdict is verdict


def test_a_check_that_awaits_for_ever_is_cancelled_and_undecided() -> None:
    check = Awaiting()

    report = checker(plan("slow", check, timeout=0.05), plan("good", Scripted(HEALTHY))).once()

    assert by_name(report)["slow"].message == "no answer within 0.05 s"
    assert by_name(report)["good"].verdict is Verdict.HEALTHY
    assert check.cancelled.wait(10)


def test_a_check_that_blocks_its_thread_is_left_behind_and_not_asked_again_while_it_hangs() -> None:
    with blocking() as check:
        probe = checker(plan("stuck", check, timeout=0.05), plan("good", Scripted(HEALTHY)))

        first, second = by_name(probe.once()), by_name(probe.once())

        assert first["stuck"].message == "hangs and cannot be stopped"
        assert second["stuck"].message == "still hangs since an earlier round"
        assert (first["good"].verdict, second["good"].verdict) == (Verdict.HEALTHY, Verdict.HEALTHY)
        assert check.asked == 1


def test_a_check_that_hung_is_asked_again_once_its_thread_has_ended() -> None:
    with blocking() as check:
        probe = checker(plan("stuck", check, timeout=0.05))
        probe.once()
        hung = next(thread for thread in threading.enumerate() if thread.name == "health-stuck")
        check.let_go.set()
        hung.join(10)

        report = probe.once()

    assert report.verdict is Verdict.HEALTHY


def test_a_cancel_while_checks_are_under_way_ends_the_probe_at_once() -> None:
    check, cancelled = Awaiting(), threading.Event()
    probe = HealthChecker([plan("slow", check, timeout=3600)], context())
    thread, reports = in_thread(lambda: probe.run(HealthPolicy(timeout=3600), cancelled))
    assert check.asked.wait(10)

    cancelled.set()
    thread.join(10)

    assert [r.verdict for r in reports] == [Verdict.UNDECIDED]
    assert reports[0].checks[0].message == "not waited for: the probe was cancelled"
    assert check.cancelled.wait(10)


def test_all_checks_are_asked_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=10)

    class Meeting:
        critical = True

        async def check(self, context: object) -> CheckOutcome:
            del context
            barrier.wait()
            return HEALTHY

    report = checker(*(plan(name, Meeting()) for name in "abc")).once()

    assert report.verdict is Verdict.HEALTHY


def test_a_check_never_gets_more_time_than_the_policy_leaves() -> None:
    check = Awaiting()

    report = checker(plan("slow", check, timeout=3600)).run(HealthPolicy(timeout=0.05), threading.Event())

    assert report.verdict is Verdict.UNHEALTHY
    assert report.checks[0].message == "no answer within 0.05 s"


def test_an_endless_message_is_cut() -> None:
    report = checker(plan("chatty", Scripted(CheckOutcome.healthy("x" * 100_000)))).once()

    assert len(report.checks[0].message) == MESSAGE_LENGTH


def test_two_threads_may_ask_at_once() -> None:
    probe = HealthChecker([plan("a", Scripted(HEALTHY))], context())

    asked = [in_thread(probe.once) for _ in range(8)]
    for thread, _ in asked:
        thread.join(10)

    assert [report.verdict for _, reports in asked for report in reports] == [Verdict.HEALTHY] * 8
