"""Figures that tests state, shown at the end of the run: a test's own output is not, least of all a worker's."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import pytest

#: Begins a line of a test's output that belongs among the figures.
_MARK = "figure: "


def state(text: str) -> None:
    """Put ``text`` among the figures at the end of the run."""
    sys.stdout.write(f"\n{_MARK}{text}\n")


def stated(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return a line for each test and name of a figure; whole numbers of a parametrized test are added up."""
    sums: dict[tuple[str, str], int] = {}
    texts = []
    for report in reports:
        test = report.nodeid.partition("[")[0]
        for name, value in report.user_properties:
            if isinstance(value, int):
                sums[test, name] = sums.get((test, name), 0) + value
            else:
                texts.append(f"{test}: {name}: {value}")
        texts += [f"{test}: {line[len(_MARK) :]}" for line in report.capstdout.splitlines() if line.startswith(_MARK)]
    return [*(f"{test}: {name}: {value:,} in all" for (test, name), value in sums.items()), *texts]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured or counted."""
    lines = stated(terminalreporter.stats.get("passed", []))
    if lines:
        terminalreporter.section("figures")
        for line in sorted(lines):
            terminalreporter.write_line(line)
