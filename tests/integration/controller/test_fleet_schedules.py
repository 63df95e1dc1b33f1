"""Updates sent straight to nodes, rollbacks and nodes, on both databases."""

from __future__ import annotations

import pytest

from controller.rollout.model import Policy
from controller.rollout.selection import ALL, Selection
from controller.store.store import Store
from shared.errors import ConflictError, NotFoundError
from shared.messages import RollbackRecord
from shared.slots import Slot
from shared.states import (
    CancelAnswer,
    EventKind,
    OrderKind,
    Phase,
    RollbackType,
    RolloutState,
    ScheduleState,
    TargetState,
)
from tests.support.fleet_bench import ALICE, Bench
from tests.support.rollouts import UPDATE


@pytest.fixture
def bench(store: Store) -> Bench:
    """Two registered nodes."""
    made = Bench(store)
    made.register("n0", "n1", site="berlin")
    return made


def schedule_id(bench: Bench, node_id: str) -> str:
    return bench.fleet.schedules(Selection(nodes=(node_id,)))[0].id


def test_an_update_sent_to_a_node_is_a_schedule_through_its_whole_life(bench: Bench) -> None:
    rollout = bench.schedule("n0")
    name = schedule_id(bench, "n0")
    (order,) = bench.orders()

    shown = [bench.fleet.schedule(name)]
    for said in (
        bench.say(order, EventKind.ACCEPTED),
        bench.say(order, EventKind.PHASE, phase=Phase.FLASHING),
        bench.ends(order, ScheduleState.ROLLED_BACK, error_kind="unhealthy", reason="api does not answer"),
    ):
        bench.report(said)
        shown.append(bench.fleet.schedule(name))

    assert name == "sched-20260127-001"
    assert [(each.state, each.phase) for each in shown] == [
        (ScheduleState.PENDING, Phase.PENDING),
        (ScheduleState.PENDING, Phase.PENDING),
        (ScheduleState.IN_PROGRESS, Phase.FLASHING),
        (ScheduleState.ROLLED_BACK, Phase.ROLLED_BACK),
    ]
    assert (shown[3].error_kind, shown[3].reason, shown[3].node_id) == ("unhealthy", "api does not answer", "n0")
    assert (shown[0].rollout_id, shown[0].order_id, shown[0].origin) == (rollout.id, order.id, "fleet")
    assert bench.fleet.schedule(order.id) == shown[3]
    assert bench.fleet.schedules_of(bench.rollout(rollout.id)) == [shown[3]]


def test_one_node_that_fails_does_not_stop_the_other(bench: Bench) -> None:
    rollout = bench.schedule("n0", "n1")
    first, second = bench.orders()

    bench.report(bench.ends(first, ScheduleState.FAILED))
    bench.engine.step()
    bench.report(bench.ends(second))
    bench.engine.step()

    assert bench.orders() == []
    assert bench.rollout(rollout.id).reason == "1 succeeded, 1 failed"
    assert bench.rollout(rollout.id).direct
    assert bench.fleet.rollouts() == []


def test_a_node_that_never_answers_is_shown_as_failed_without_report(bench: Bench) -> None:
    bench.schedule("n0")

    bench.later(3600)
    bench.engine.step()

    shown = bench.fleet.schedule(schedule_id(bench, "n0"))
    assert (shown.state, shown.error_kind) == (ScheduleState.FAILED, "no_report")


def test_cancel_before_the_order_left_stops_at_once(bench: Bench) -> None:
    bench.schedule("n0")

    answer, shown = bench.fleet.cancel_schedule(schedule_id(bench, "n0"), reason="not today", actor=ALICE)

    assert (answer, shown.state) == (CancelAnswer.STOPPED, ScheduleState.CANCELLED)
    assert bench.orders() == []
    assert bench.audit("schedule.cancel")[0].reason == "not today"


@pytest.mark.parametrize(
    ("word", "answer", "state"),
    [
        pytest.param(CancelAnswer.STOPPED, "stopped", ScheduleState.CANCELLED, id="stopped"),
        pytest.param(CancelAnswer.UNKNOWN, "stopped", ScheduleState.CANCELLED, id="never-arrived"),
        pytest.param(CancelAnswer.TOO_LATE, "too_late", ScheduleState.PENDING, id="too-late"),
    ],
)
def test_cancel_of_a_sent_order_is_pending_until_the_node_answers(
    bench: Bench, word: CancelAnswer, answer: str, state: ScheduleState
) -> None:
    bench.schedule("n0")
    name = schedule_id(bench, "n0")
    (update,) = bench.orders()

    first = bench.fleet.cancel_schedule(name, reason="not today", actor=ALICE)
    again = bench.fleet.cancel_schedule(name, reason="not today", actor=ALICE)
    (cancel,) = bench.orders()
    bench.report(bench.say(cancel, EventKind.CANCEL_ANSWER, cancel_answer=word))
    after = bench.fleet.cancel_schedule(name, reason="not today", actor=ALICE)

    assert (first[0], again[0]) == ("pending", "pending")
    assert (cancel.kind, cancel.target) == (OrderKind.CANCEL, update.id)
    assert (after[0], after[1].state) == (answer, state)
    assert len(bench.audit("schedule.cancel")) == 1


def test_cancel_after_the_end_is_too_late(bench: Bench) -> None:
    bench.schedule("n0")
    bench.report(bench.ends(bench.orders()[0]))

    answer, shown = bench.fleet.cancel_schedule(schedule_id(bench, "n0"), reason="", actor=ALICE)

    assert (answer, shown.state) == (CancelAnswer.TOO_LATE, ScheduleState.COMPLETED)


def test_a_cancelled_turn_of_a_rollout_is_not_ordered_again(bench: Bench) -> None:
    rollout = bench.create(Policy(max_in_flight=1))
    waiting = next(target for target in rollout.targets if target.state is TargetState.WAITING)

    answer, _ = bench.fleet.cancel_schedule(waiting.schedule_id, reason="", actor=ALICE)
    bench.report(bench.ends(bench.orders()[0]))
    bench.engine.step()

    assert answer == CancelAnswer.STOPPED
    assert bench.rollout(rollout.id).state is RolloutState.SUCCEEDED
    assert bench.orders() == []


def test_a_cancel_during_a_pause_ends_the_turn_instead_of_giving_it_back(bench: Bench) -> None:
    rollout = bench.create(selection=Selection(nodes=("n0",)))
    bench.orders()
    bench.fleet.pause(rollout.id, reason="lunch", actor=ALICE)
    (cancel,) = bench.orders()

    answer, _ = bench.fleet.cancel_schedule(rollout.targets[0].schedule_id, reason="", actor=ALICE)
    bench.report(bench.say(cancel, EventKind.CANCEL_ANSWER, cancel_answer=CancelAnswer.STOPPED))

    assert answer == "pending"
    assert bench.rollout(rollout.id).targets[0].state is TargetState.CANCELLED


def test_a_schedule_that_is_not_there_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match="sched-19990101-001"):
        bench.fleet.schedule("sched-19990101-001")
    with pytest.raises(NotFoundError, match="sched-19990101-001"):
        bench.fleet.cancel_schedule("sched-19990101-001", reason="", actor=ALICE)


def test_schedules_are_listed_by_node_newest_first(bench: Bench) -> None:
    bench.schedule("n0", "n1")
    bench.report(*(bench.ends(order) for order in bench.orders()))
    bench.engine.step()
    bench.later(60)
    newest = bench.schedule("n0")

    of_one = bench.fleet.schedules(Selection(nodes=("n0",)))
    of_all = bench.fleet.schedules(ALL, limit=2)

    assert [each.rollout_id == newest.id for each in of_one] == [True, False]
    assert len(of_all) == 2


def test_a_busy_node_takes_no_second_update(bench: Bench) -> None:
    first = bench.schedule("n0")

    with pytest.raises(ConflictError, match=first.id):
        bench.schedule("n0", update=UPDATE.model_copy(update={"lift_denial": True}))


def test_a_rollback_is_an_order_with_a_reason_and_an_end(bench: Bench) -> None:
    ordered = bench.fleet.trigger_rollback(Selection(selector="site=berlin"), reason="slow", actor=ALICE)

    rows = bench.due()
    assert [(row.order.node_id, row.order.id) for row in rows] == ordered
    assert {(row.order.kind, row.order.reason, row.order.rollout_id) for row in rows} == {("rollback", "slow", "")}
    assert all(row.order.expires_at for row in rows)
    assert [entry.subject for entry in bench.audit("node.rollback")] == ["n1", "n0"]


def test_the_history_tells_which_node_rolled_back(bench: Bench) -> None:
    for number, node_id in enumerate(("n1", "n0")):
        record = RollbackRecord(
            id=f"r{number}",
            at=bench.now,
            type=RollbackType.AUTOMATIC,
            reason="api does not answer",
            from_slot=Slot.B,
            to_slot=Slot.A,
        )
        bench.report(bench.said(node_id, EventKind.ROLLBACK, rollback=record))
        bench.later(1)

    history = bench.fleet.rollback_history()
    of_one = bench.fleet.rollback_history(Selection(nodes=("n0",)))

    assert [node_id for node_id, _ in history] == ["n1", "n0"]
    assert [(node_id, record.id) for node_id, record in of_one] == [("n0", "r1")]
    assert len(bench.fleet.rollback_history(limit=1)) == 1
    with pytest.raises(NotFoundError):
        bench.fleet.rollback_history(Selection(nodes=("n9",)))
