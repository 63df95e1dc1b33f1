"""From fleet and policy to waves."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.rollout.model import Policy, WavePlan
from controller.rollout.plan import plan, wave_sizes
from shared.errors import InputError
from tests.support.rollouts import NOW, fleet, node


def share(percent: float, soak: float = 0) -> WavePlan:
    return WavePlan(percent=percent, soak=soak)


def first(count: int, soak: float = 0) -> WavePlan:
    return WavePlan(count=count, soak=soak)


@pytest.mark.parametrize(
    ("total", "plans", "sizes"),
    [
        pytest.param(12, (first(1), share(25), share(100)), [1, 2, 9], id="one-quarter-all"),
        pytest.param(12, (), [12], id="no-waves-is-one"),
        pytest.param(12, (first(3),), [3, 9], id="whoever-is-left-over"),
        pytest.param(2, (first(1), share(25), share(100)), [1, 1], id="covered-already"),
        pytest.param(3, (first(5), share(100)), [3], id="more-than-there-are"),
        pytest.param(100, (share(7), share(100)), [7, 93], id="no-float-dust"),
        pytest.param(3, (share(1), share(100)), [1, 2], id="rounded-up"),
        pytest.param(10, (first(2), first(2), share(100)), [2, 2, 6], id="counts-add-up"),
    ],
)
def test_waves_have_the_sizes_that_were_asked(total: int, plans: tuple[WavePlan, ...], sizes: list[int]) -> None:
    drawn = wave_sizes(total, plans)

    assert [size for size, _ in drawn] == sizes


def test_a_wave_keeps_its_soak_time() -> None:
    drawn = wave_sizes(4, (first(1, soak=60), share(100, soak=30)))

    assert drawn == [(1, 60), (3, 30)]


@given(
    total=st.integers(1, 60),
    counts=st.lists(st.integers(1, 20), max_size=4),
    shares=st.lists(st.floats(0.1, 100), unique=True, max_size=4).map(sorted),
)
def test_every_node_lands_in_exactly_one_wave(total: int, counts: list[int], shares: list[float]) -> None:
    waves = (*(first(count) for count in counts), *(share(percent) for percent in shares))

    drawn = plan(list(fleet(total).values()), Policy(waves=waves), salt="r", now=NOW)

    assert sorted(target.node_id for target in drawn.targets) == sorted(fleet(total))
    assert Counter(target.wave for target in drawn.targets) == {wave.index: wave.size for wave in drawn.waves}
    assert [target.rank for target in drawn.targets] == list(range(total))
    assert [target.wave for target in drawn.targets] == sorted(target.wave for target in drawn.targets)


def test_the_draw_depends_on_the_rollout_and_on_nothing_else() -> None:
    nodes = list(fleet(20).values())

    one, again, other = (
        [target.node_id for target in plan(order, Policy(), salt=salt, now=NOW).targets]
        for order, salt in ((nodes, "r1"), (nodes[::-1], "r1"), (nodes, "r2"))
    )

    assert one == again
    assert one != other


def test_canaries_are_nodes_seen_lately() -> None:
    silent = [node(f"old{index}", last_seen=NOW - timedelta(days=1)) for index in range(20)]
    nodes = [*silent, node("never", last_seen=None), node("fresh"), node("fresh-too")]

    drawn = plan(nodes, Policy(waves=(first(2), share(100))), salt="r", now=NOW)

    assert {target.node_id for target in drawn.targets if target.wave == 1} == {"fresh", "fresh-too"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"count": 1, "percent": 5},
        {"count": 0},
        {"percent": 0},
        {"percent": 101},
        {"count": 1, "soak": -1},
        {"count": 1, "soak": 1e9},
    ],
    ids=["nothing", "both", "nobody", "no-share", "too-large", "negative-soak", "endless-soak"],
)
def test_a_wave_that_means_nothing_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(InputError):
        WavePlan(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [
        {"max_failed_percent": 101},
        {"min_finished": 0},
        {"max_failed": -1},
        {"max_in_flight": -1},
        {"accept_deadline": 0},
        {"finish_deadline": float("nan")},
        {"accept_deadline": 1e12},
        {"waves": (share(50), first(1), share(25))},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_policy_that_means_nothing_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Policy(**values)  # type: ignore[arg-type]
