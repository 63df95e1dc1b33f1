"""Which checks a node asks, from entry points and settings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint

import pytest
from pydantic import ValidationError

from node_executor.health import BUILT_IN, GROUP, CheckContext, CheckOutcome, CheckSettings, HealthCheck, plan_checks
from shared.states import Verdict
from tests.support.checks import by_name, checker


class Echo:
    """Answers with its options."""

    critical = False

    def __init__(self, options: Mapping[str, object]) -> None:
        self._options = options

    async def check(self, context: CheckContext) -> CheckOutcome:
        """Say the options."""
        del context
        return CheckOutcome.healthy(str(dict(self._options)))


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=GROUP)


@pytest.fixture(autouse=True)
def this_file_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    # pytest's importlib mode gives test files names of its own; an entry point needs one that can be imported.
    monkeypatch.setitem(sys.modules, "echo_checks", sys.modules[__name__])


def built_in_disabled(**more: CheckSettings) -> dict[str, CheckSettings]:
    return {name: CheckSettings(enabled=False) for name in BUILT_IN} | more


def test_our_own_checks_are_installed_under_the_names_that_every_node_has() -> None:
    plans = plan_checks({})

    assert [plan.name for plan in plans][:4] == ["boot", "service", "network", "api"]
    assert {plan.name: plan.critical for plan in plans if plan.name in BUILT_IN} == {
        "boot": True,
        "service": True,
        "network": False,
        "api": True,
    }
    assert all(isinstance(plan.check, HealthCheck) for plan in plans)


def test_a_check_of_somebody_else_gets_its_options() -> None:
    settings = built_in_disabled(echo=CheckSettings(options={"colour": "red"}))

    plans = plan_checks(settings, [point("echo", "echo_checks:Echo")])
    report = checker(*plans).once()

    assert [plan.critical for plan in plans] == [False]
    assert by_name(report)["echo"].message == "{'colour': 'red'}"


def test_settings_decide_on_enabled_critical_and_timeout() -> None:
    found = [point(name, "echo_checks:Echo") for name in ("a", "b")]
    settings = built_in_disabled(a=CheckSettings(enabled=False), b=CheckSettings(critical=True, timeout=2))

    (plan,) = plan_checks(settings, found)

    assert (plan.name, plan.critical, plan.timeout) == ("b", True, 2.0)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["no.such.module:Check"], "cannot load no.such.module:Check: ModuleNotFoundError"),
        (["echo_checks:Missing"], "cannot load echo_checks:Missing: AttributeError"),
        (["node_executor.health.checks.boot:BootCheck"], "ValidationError"),
        (["builtins:dict"], "it has no `critical` or no `check`"),
        (["sys:exit"], "cannot load sys:exit: SystemExit"),
        (["echo_checks:Echo", "other:Echo"], "several packages offer a health check of this name"),
        ([], "no installed package offers a health check of this name"),
    ],
    ids=["import fails", "no such class", "bad options", "not a check", "exits", "two of a name", "not installed"],
)
def test_a_check_that_cannot_be_had_is_undecided_with_its_reason_and_critical(values: list[str], reason: str) -> None:
    settings = built_in_disabled(odd=CheckSettings(options={"unheard_of": 1}))

    report = checker(*plan_checks(settings, [point("odd", value) for value in values])).once()

    (line,) = report.checks
    assert (line.name, line.verdict, line.critical) == ("odd", Verdict.UNDECIDED, True)
    assert reason in line.message
    assert report.verdict is Verdict.UNHEALTHY


def test_a_broken_check_that_is_set_non_critical_only_degrades() -> None:
    settings = built_in_disabled(odd=CheckSettings(critical=False))

    assert checker(*plan_checks(settings, [])).once().verdict is Verdict.DEGRADED


def test_a_missing_built_in_check_is_not_overlooked() -> None:
    report = checker(*plan_checks({}, [])).once()

    assert [line.name for line in report.checks] == list(BUILT_IN)
    assert report.verdict is Verdict.UNHEALTHY


def test_one_package_found_twice_is_one_check() -> None:
    found = [point("echo", "echo_checks:Echo")] * 2

    assert checker(*plan_checks(built_in_disabled(), found)).once().verdict is Verdict.HEALTHY


@pytest.mark.parametrize("table", [{"enable": True}, {"timeout": 0}, {"critical": "perhaps"}])
def test_settings_with_mistakes_are_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CheckSettings.model_validate(table)
