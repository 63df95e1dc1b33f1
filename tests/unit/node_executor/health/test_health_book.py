"""The last report: how long it counts, and who shares one answer."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor

from node_executor.health_book import MAX_AGE, MOST_WAITING, HealthBook
from shared.errors import ConflictError
from shared.messages import HealthPolicy, HealthReport
from shared.states import Verdict
from tests.support.checks import HEALTHY, UNHEALTHY, Clock, Scripted, blocking, checker, plan


def test_a_report_counts_for_a_minute_and_is_then_asked_anew() -> None:
    clock, check = Clock(), Scripted(HEALTHY, UNHEALTHY)
    book = HealthBook(checker(plan("one", check)), clock.monotonic)
    book.run(HealthPolicy(), threading.Event())

    clock.seconds += MAX_AGE
    still = book.report(fresh=False)
    clock.seconds += 1
    anew = book.report(fresh=False)

    assert (still.verdict, anew.verdict) == (Verdict.HEALTHY, Verdict.UNHEALTHY)
    assert check.asked == 2


def test_a_fresh_report_is_asked_for_at_once() -> None:
    check = Scripted(HEALTHY, UNHEALTHY)
    book = HealthBook(checker(plan("one", check)), Clock().monotonic)
    book.report(fresh=False)

    fresh = book.report(fresh=True)

    assert fresh.verdict is Verdict.UNHEALTHY
    assert book.report(fresh=False) == fresh


def test_those_who_ask_meanwhile_share_the_answer_and_one_too_many_is_sent_away() -> None:
    refused: queue.SimpleQueue[ConflictError] = queue.SimpleQueue()
    with blocking() as check:
        book = HealthBook(checker(plan("one", check)))

        def ask() -> HealthReport | None:
            try:
                return book.once()
            except ConflictError as error:
                refused.put(error)
                return None

        with ThreadPoolExecutor(MOST_WAITING + 1) as pool:
            askers = [pool.submit(ask) for _ in range(MOST_WAITING + 1)]
            refusal = refused.get(timeout=10)
            check.let_go.set()
            reports = [asker.result(10) for asker in askers]

    assert "callers wait" in refusal.message
    assert check.asked == 1
    assert reports.count(None) == 1
    assert len({report.checked_at for report in reports if report is not None}) == 1
