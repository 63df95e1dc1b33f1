"""Creating and steering rollouts, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.rollout.model import Policy, Rollout, WavePlan
from controller.rollout.selection import ALL, Selection
from controller.store.store import Store
from shared.errors import AlreadyExistsError, ConflictError, FleetError, InputError, NotFoundError
from shared.states import CancelAnswer, EventKind, OrderKind, RolloutState, ScheduleState, TargetState
from tests.support.fleet_bench import ALICE, Bench
from tests.support.rollouts import IMAGE, UPDATE

OTHER = UPDATE.model_copy(update={"image": IMAGE.model_copy(update={"version": "3.0.0"})})


@pytest.fixture
def bench(store: Store) -> Bench:
    """Four registered nodes at two sites."""
    made = Bench(store)
    made.register("n0", "n1", site="berlin")
    made.register("n2", "n3", site="bonn")
    return made


def names(rollout: Rollout) -> list[str]:
    return sorted(target.node_id for target in rollout.targets)


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        pytest.param(ALL, ["n0", "n1", "n2", "n3"], id="all"),
        pytest.param(Selection(nodes=("n3", "n1")), ["n1", "n3"], id="by-name"),
        pytest.param(Selection(selector="site=bonn"), ["n2", "n3"], id="by-label"),
        pytest.param(Selection(selector="site!=bonn"), ["n0", "n1"], id="by-other-label"),
    ],
)
def test_a_rollout_takes_the_chosen_nodes_and_begins(bench: Bench, selection: Selection, chosen: list[str]) -> None:
    woken = bench.woken

    rollout = bench.create(selection=selection)

    assert names(rollout) == chosen
    assert (rollout.id, rollout.state, rollout.created_by) == ("rollout-20260127-001", RolloutState.RUNNING, ALICE)
    assert min(target.schedule_id for target in rollout.targets) == "sched-20260127-001"
    assert sorted(order.node_id for order in bench.orders()) == chosen
    assert bench.rollout(rollout.id) == rollout
    assert bench.woken == woken + 1
    assert [(entry.actor, entry.subject) for entry in bench.audit("rollout.create")] == [(ALICE, rollout.id)]


@pytest.mark.parametrize(
    ("selection", "error", "says"),
    [
        pytest.param(Selection(nodes=("n1", "n9", "n8")), NotFoundError, "nodes n8, n9", id="unknown-nodes"),
        pytest.param(Selection(selector="site=rome"), InputError, "'site=rome' matches none", id="nobody"),
        pytest.param(Selection(selector="site>rome"), InputError, "'site>rome' is not a term", id="no-selector"),
    ],
)
def test_a_selection_that_does_not_work_is_refused(
    bench: Bench, selection: Selection, error: type[FleetError], says: str
) -> None:
    with pytest.raises(error) as caught:
        bench.create(selection=selection)

    assert says in caught.value.message
    assert caught.value.cure
    assert bench.fleet.rollouts() == []


def test_a_start_time_after_which_no_deadline_fits_the_calendar_is_refused(bench: Bench) -> None:
    late = UPDATE.model_copy(update={"start_at": datetime(9999, 12, 31, 23, 59, tzinfo=UTC)})

    with pytest.raises(InputError, match="cannot use start time 9999-12-31T23:59:00"):
        bench.schedule("n0", update=late)


def test_nothing_can_be_rolled_out_over_an_empty_fleet(store: Store) -> None:
    with pytest.raises(InputError, match="none is registered"):
        Bench(store).create()


def test_the_same_request_under_the_same_key_is_the_same_rollout(bench: Bench) -> None:
    first = bench.create(idempotency_key="build-7")
    bench.orders()

    again = bench.create(idempotency_key="build-7", actor="user:bob")

    assert again == first
    assert bench.orders() == []
    assert len(bench.fleet.rollouts()) == 1
    assert len(bench.audit("rollout.create")) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"name": "three"},
        {"update": OTHER},
        {"policy": Policy(max_failed=3)},
        {"selection": Selection(nodes=("n0",))},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_request_under_the_same_key_is_refused(bench: Bench, other: dict[str, Any]) -> None:
    first = bench.create(idempotency_key="build-7")

    with pytest.raises(AlreadyExistsError) as caught:
        bench.create(idempotency_key="build-7", **other)

    assert first.id in caught.value.message


def test_many_callers_with_one_key_make_one_rollout(bench: Bench) -> None:
    made: list[str] = []
    start = threading.Barrier(5)

    def call() -> None:
        start.wait()
        made.append(bench.create(idempotency_key="build-7").id)

    threads = [threading.Thread(target=call) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert made == [made[0]] * 5
    assert len(bench.orders()) == 4


def test_of_two_callers_who_want_the_same_node_one_is_told(bench: Bench) -> None:
    results: list[str] = []
    start = threading.Barrier(2)

    def call(name: str) -> None:
        start.wait()
        try:
            results.append(bench.create(name=name).id)
        except ConflictError as error:
            results.append(error.message)

    threads = [threading.Thread(target=call, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    winner = next(result for result in results if result.startswith("rollout-"))
    loser = next(result for result in results if not result.startswith("rollout-"))
    assert winner in loser
    assert len(bench.orders()) == 4


def test_a_node_is_free_again_when_its_turn_is_over(bench: Bench) -> None:
    first = bench.create(selection=Selection(nodes=("n0", "n1")))
    with pytest.raises(ConflictError) as caught:
        bench.create(update=OTHER)
    bench.report(*(bench.ends(order) for order in bench.orders()))
    bench.engine.step()

    second = bench.create(update=OTHER)

    assert f"n0 in {first.id}, n1 in {first.id}" in caught.value.message
    assert names(second) == ["n0", "n1", "n2", "n3"]


def test_a_halted_rollout_keeps_its_waiting_nodes_until_it_is_aborted(bench: Bench) -> None:
    halted = bench.create(Policy(waves=(WavePlan(count=1),)))
    bench.report(bench.ends(bench.orders()[0], ScheduleState.FAILED))
    bench.engine.step()
    with pytest.raises(ConflictError):
        bench.create(update=OTHER)

    bench.fleet.abort(halted.id, reason="wrong image", actor=ALICE)

    assert bench.create(update=OTHER).state is RolloutState.RUNNING


def test_pause_withdraws_and_resume_orders_anew(bench: Bench) -> None:
    rollout = bench.create()
    first = {order.node_id: order for order in bench.orders()}

    paused = bench.fleet.pause(rollout.id, reason="lunch", actor=ALICE)
    cancels = bench.orders()
    bench.report(*(bench.say(order, EventKind.CANCEL_ANSWER, cancel_answer=CancelAnswer.STOPPED) for order in cancels))
    bench.engine.step()
    waiting = bench.rollout(rollout.id).counts()
    resumed = bench.fleet.resume(rollout.id, reason="back", actor=ALICE)
    second = {order.node_id: order for order in bench.orders()}

    assert (paused.state, paused.reason) == (RolloutState.PAUSED, "lunch")
    assert {order.target for order in cancels} == {order.id for order in first.values()}
    assert waiting == {TargetState.WAITING: 4}
    assert resumed.state is RolloutState.RUNNING
    assert {order.kind for order in second.values()} == {OrderKind.UPDATE}
    assert all(second[name].seq > first[name].seq and second[name].id != first[name].id for name in first)
    assert bench.audit("rollout.pause")[0].reason == "lunch"
    assert bench.audit("rollout.resume")[0].actor == ALICE


def test_a_resume_acknowledges_what_failed(bench: Bench) -> None:
    rollout = bench.create(Policy(max_in_flight=1))
    bench.report(bench.ends(bench.orders()[0], ScheduleState.FAILED))
    bench.engine.step()

    resumed = bench.fleet.resume(rollout.id, reason="known disk fault", actor=ALICE)
    bench.engine.step()

    assert resumed.state is bench.rollout(rollout.id).state is RolloutState.RUNNING
    assert len(bench.orders(OrderKind.UPDATE)) == 1


def test_an_abort_before_anything_left_ends_at_once(bench: Bench) -> None:
    rollout = bench.create()

    aborted = bench.fleet.abort(rollout.id, reason="wrong image", actor=ALICE)

    assert aborted.settled
    assert aborted.counts() == {TargetState.CANCELLED: 4}
    assert bench.orders() == []


@pytest.mark.parametrize("verb", ["pause", "resume", "abort"])
def test_steering_what_is_not_there_is_refused(bench: Bench, verb: str) -> None:
    call: Callable[..., Rollout] = getattr(bench.fleet, verb)

    with pytest.raises(NotFoundError, match="rollout-19990101-001"):
        call("rollout-19990101-001", reason="x", actor=ALICE)


def test_doing_it_twice_is_audited_once(bench: Bench) -> None:
    rollout = bench.create()
    bench.fleet.pause(rollout.id, reason="lunch", actor=ALICE)

    again = bench.fleet.pause(rollout.id, reason="tea", actor=ALICE)

    assert again.reason == "lunch"
    assert len(bench.audit("rollout.pause")) == 1


@pytest.mark.parametrize("field", ["name", "idempotency_key"])
def test_a_text_too_long_for_the_database_is_refused(bench: Bench, field: str) -> None:
    given: dict[str, Any] = {field: "x" * 201}

    with pytest.raises(InputError, match="201 characters"):
        bench.create(**given)
