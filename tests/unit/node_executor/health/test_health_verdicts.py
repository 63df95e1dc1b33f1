"""One verdict from many answers."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node_executor.health import verdict_of
from shared.messages import CheckResult
from shared.states import Verdict

patient = settings(deadline=None)  # a busy machine is no failure

H, D, U, X = Verdict.HEALTHY, Verdict.DEGRADED, Verdict.UNHEALTHY, Verdict.UNDECIDED


def line(verdict: Verdict, *, critical: bool) -> CheckResult:
    return CheckResult(name="x", verdict=verdict, critical=critical)


@pytest.mark.parametrize(
    ("critical", "optional", "verdict"),
    [
        ((), (), H),
        ((H, H), (H,), H),
        ((H,), (U,), D),
        ((H,), (X,), D),
        ((H,), (D,), D),
        ((D,), (H,), D),
        ((U, H), (H,), U),
        ((X, H), (H,), U),
        ((D, U), (U,), U),
    ],
)
def test_verdict_follows_the_worst_answer_that_counts(
    critical: tuple[Verdict, ...], optional: tuple[Verdict, ...], verdict: Verdict
) -> None:
    lines = [line(v, critical=True) for v in critical] + [line(v, critical=False) for v in optional]

    assert verdict_of(lines) is verdict


@patient
@given(st.lists(st.tuples(st.sampled_from(Verdict), st.booleans())), st.randoms(use_true_random=False))
def test_order_of_checks_does_not_matter(answers: list[tuple[Verdict, bool]], random: Random) -> None:
    lines = [line(verdict, critical=critical) for verdict, critical in answers]
    shuffled = list(lines)
    random.shuffle(shuffled)

    assert verdict_of(lines) is verdict_of(shuffled)


@patient
@given(st.lists(st.sampled_from(Verdict)))
def test_non_critical_checks_alone_never_make_a_node_unhealthy(verdicts: list[Verdict]) -> None:
    assert verdict_of(line(verdict, critical=False) for verdict in verdicts) in (H, D)
