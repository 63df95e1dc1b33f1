"""What every installed health check, and everything that probes a node's health, must keep."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from node_executor.health import BUILT_IN, CheckContext, HealthChecker, plan_checks
from node_executor.ports import HealthProbe
from shared.messages import HealthPolicy, HealthReport
from shared.states import Verdict
from tests.support.checks import HEALTHY, UNHEALTHY, Scripted, context, plan


def broken(*_: object) -> Any:
    raise OSError("nothing can be read")


AILING = CheckContext(uptime=broken, executor_alive=broken, api_address="nowhere.invalid:1")


@pytest.fixture(params=["well", "ailing"])
def probe(request: pytest.FixtureRequest) -> HealthProbe:
    """Return a probe of a node that is well, and of one that is not."""
    return HealthChecker([plan("a", Scripted(HEALTHY if request.param == "well" else UNHEALTHY))], context())


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_check_gives_one_line_even_when_nothing_can_be_read(name: str) -> None:
    plans = [planned for planned in plan_checks({}) if planned.name == name]

    for about in (context(), AILING):
        (line,) = HealthChecker(plans, about).once().checks

        assert line.name == name
        assert line.message
        assert line.duration_ms >= 0
        assert line.critical is (name != "network")


@pytest.mark.parametrize("name", ["boot", "service", "api"])
def test_what_cannot_be_read_never_counts_as_well(name: str) -> None:
    plans = [planned for planned in plan_checks({}) if planned.name == name]

    assert HealthChecker(plans, AILING).once().verdict is Verdict.UNHEALTHY


def test_a_probe_ends_with_a_decision_and_shows_every_round(probe: HealthProbe) -> None:
    shown: list[HealthReport] = []
    policy = HealthPolicy(timeout=60, retry_interval=0.01, max_retries=2)

    report = probe.run(policy, threading.Event(), shown.append)

    assert report.verdict in (Verdict.HEALTHY, Verdict.DEGRADED, Verdict.UNHEALTHY)
    assert [one.rounds for one in shown] == list(range(1, report.rounds + 1))
    assert report.rounds == (1 if report.verdict is Verdict.HEALTHY else 3)


def test_a_probe_that_was_cancelled_before_does_not_decide(probe: HealthProbe) -> None:
    cancelled = threading.Event()
    cancelled.set()

    assert probe.run(HealthPolicy(), cancelled).verdict is Verdict.UNDECIDED


def test_a_probe_asked_once_reports_once(probe: HealthProbe) -> None:
    report = probe.once()

    assert report.rounds == 1
    assert report.checked_at.tzinfo is not None
    assert [line.name for line in report.checks] == ["a"]
