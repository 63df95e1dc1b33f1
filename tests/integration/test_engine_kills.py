"""kill -9 round the engine's commit: before it nothing has happened, after it nothing is lost."""

from __future__ import annotations

import pytest

from controller.rollout.model import Policy
from controller.store.store import Store
from shared.states import OrderKind, RolloutState, ScheduleState, TargetState
from tests.support.crashing_engine import crash
from tests.support.fleet_bench import Bench


@pytest.fixture
def bench(store: Store) -> Bench:
    """Three nodes; the first has failed, so that the engine has to halt and to withdraw the second's order."""
    made = Bench(store)
    made.register("n0", "n1", "n2")
    made.create(Policy(max_in_flight=2))
    failed, _ = made.orders()
    made.report(made.ends(failed, ScheduleState.FAILED))
    return made


@pytest.mark.parametrize("where", ["before-commit", "after-commit"])
def test_a_killed_engine_only_delays(bench: Bench, where: str) -> None:
    crash(where, bench.store)
    (outline,) = bench.fleet.rollouts()

    bench.later(16)  # the dead engine's lease is over
    bench.engine.step()

    rollout = bench.rollout(outline.rollout.id)
    cancels = bench.orders(OrderKind.CANCEL)
    assert outline.rollout.state is (RolloutState.RUNNING if where == "before-commit" else RolloutState.HALTED)
    assert rollout.state is RolloutState.HALTED
    assert len(cancels) == 1
    assert len(bench.audit("rollout.halt")) == 1
    assert sorted(rollout.counts()) == sorted([TargetState.FAILED, TargetState.ORDERED, TargetState.WAITING])
