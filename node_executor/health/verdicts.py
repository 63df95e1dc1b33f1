"""From the checks' answers to one verdict (requirement H4): pure."""

from __future__ import annotations

from collections.abc import Iterable

from shared.messages import CheckResult
from shared.states import Verdict


def verdict_of(results: Iterable[CheckResult]) -> Verdict:
    """Return the verdict of one round.

    Unhealthy if a critical check failed or could not find out; degraded if only non-critical ones did, or a check
    itself says degraded; else healthy. Never undecided: when time is up, not knowing is failing.
    """
    verdict = Verdict.HEALTHY
    for result in results:
        if result.verdict is Verdict.HEALTHY:
            continue
        if result.critical and result.verdict is not Verdict.DEGRADED:
            return Verdict.UNHEALTHY
        verdict = Verdict.DEGRADED
    return verdict
