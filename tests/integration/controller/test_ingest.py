"""Ingest against a real Redis and both databases: what nodes say reaches turns, orders, nodes and history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.rollout.model import OrderDraft, OrderState, Rollout, Target
from controller.store.store import Store
from controller.store.targets import Change
from deploy.local.embedded_redis import RedisServer
from shared.errors import TransportError
from shared.messages import Event, HealthReport, RollbackRecord
from shared.slots import Slot
from shared.states import CancelAnswer, EventKind, OrderKind, Phase, RollbackType, ScheduleState, TargetState, Verdict
from tests.support.control import LEASES, Control
from tests.support.crashing_controller import crash
from tests.support.rollouts import NOW, event, node, outcome, rollout, seconds


@pytest.fixture
def control(store: Store, redis_url: str) -> Control:
    """Two registered nodes, both with an update order."""
    made = Control(store, redis_url)
    made.register("n0", "n1")
    nodes = {node_id: node(node_id) for node_id in ("n0", "n1")}
    with store.transaction() as tx:
        stored = tx.rollouts.insert(rollout(nodes))
    for target in stored.targets:
        made.order(f"order-{target.node_id}", target.node_id)
    ordered = [
        replace(target, state=TargetState.ORDERED, order_id=f"order-{target.node_id}", ordered_at=NOW)
        for target in stored.targets
    ]
    with store.transaction() as tx:
        tx.rollouts.save(replace(stored, targets=tuple(ordered)), seen=stored)
    return made


def _rollout(control: Control) -> Rollout:
    with control.store.snapshot() as tx:
        (outline,) = tx.rollouts.list()
        return tx.rollouts.get(outline.rollout.id)


def _target(control: Control, node_id: str) -> Target:
    target = _rollout(control).target(node_id)
    assert target is not None
    return target


def _order_state(control: Control, order_id: str) -> OrderState:
    with control.store.snapshot() as tx:
        return tx.orders.get(order_id).state


def _hello(node_id: str, seq: int = 1) -> Event:
    return Event(
        id=f"hello-{node_id}-{seq}", kind=EventKind.HELLO, node_id=node_id, seq=seq, at=NOW, facts=node(node_id).facts
    )


def test_a_hello_brings_the_nodes_facts_up_to_date(control: Control) -> None:
    report = HealthReport(verdict=Verdict.HEALTHY, checked_at=NOW)
    control.push(_hello("n0"), event(_target(control, "n0"), EventKind.HEALTH, 2, health=report))
    control.later(5)

    control.ingest.step()

    with control.store.snapshot() as tx:
        heard, silent = tx.nodes.get("n0"), tx.nodes.get("n1")
    assert (heard.facts, heard.health, heard.last_seen) == (node("n0").facts, report, seconds(5))
    assert (silent.facts, silent.last_seen) == (None, None)
    assert (control.pushed(), control.woken) == (0, 1)


def test_a_completed_update_ends_an_older_unhealthy_report(control: Control) -> None:
    ill = HealthReport(verdict=Verdict.UNHEALTHY, checked_at=NOW)
    well = HealthReport(verdict=Verdict.HEALTHY, checked_at=seconds(60))
    back, done = _target(control, "n0"), _target(control, "n1")
    control.push(event(back, EventKind.HEALTH, 1, health=ill), event(done, EventKind.HEALTH, 1, health=ill))
    control.push(outcome(back, ScheduleState.ROLLED_BACK, 2, health=well))
    control.push(outcome(done, ScheduleState.COMPLETED, 2, health=well))

    control.ingest.step()

    with control.store.snapshot() as tx:
        assert (tx.nodes.get("n0").health, tx.nodes.get("n1").health) == (ill, well)


def test_an_update_is_followed_from_accepted_to_its_outcome(control: Control) -> None:
    target, before = _target(control, "n0"), _rollout(control).version
    control.push(event(target, EventKind.ACCEPTED, 1), event(target, EventKind.PHASE, 2, phase=Phase.FLASHING))

    control.ingest.step()
    midway, order_midway = _target(control, "n0"), _order_state(control, "order-n0")
    control.push(outcome(target, ScheduleState.COMPLETED, 3, facts=node("n0", version="2.0.0").facts))
    control.ingest.step()

    after = _target(control, "n0")
    assert (midway.state, midway.phase, order_midway) == (TargetState.ACCEPTED, Phase.FLASHING, OrderState.ACCEPTED)
    assert (after.state, after.to_version) == (TargetState.SUCCEEDED, "2.0.0")
    assert (_order_state(control, "order-n0"), _target(control, "n1").state) == (OrderState.DONE, TargetState.ORDERED)
    assert _rollout(control).version == before + 2  # whoever decides from older rows is told


def test_an_accepted_order_is_due_again_only_after_a_long_silence(control: Control) -> None:
    control.push(event(_target(control, "n0"), EventKind.ACCEPTED))

    control.ingest.step()

    with control.store.snapshot() as tx:
        assert tx.orders.get("order-n0").next_publish_at == NOW + LEASES.silence


def test_a_rollback_goes_into_the_fleets_history_once(control: Control) -> None:
    record = RollbackRecord(
        id="r1", at=NOW, type=RollbackType.AUTOMATIC, reason="Critical check service failed", kind="unhealthy",
        from_slot=Slot.B, to_slot=Slot.A, order_id="order-n0",
    )  # fmt: skip
    target = _target(control, "n0")
    told = event(target, EventKind.ROLLBACK, 1, rollback=record)
    ended = outcome(target, ScheduleState.ROLLED_BACK, 2, rollback=record, error_kind="unhealthy")
    control.push(told, ended)

    control.ingest.step()

    with control.store.snapshot() as tx:
        (entry,) = tx.rollbacks.list()
    assert (entry.node_id, entry.record) == ("n0", record)
    assert (_target(control, "n0").state, _target(control, "n0").error_kind) == (TargetState.ROLLED_BACK, "unhealthy")


def test_an_answer_to_a_cancel_order_closes_both_orders(control: Control) -> None:
    target = _target(control, "n0")
    with control.store.transaction() as tx:
        draft = OrderDraft(id="cancel", kind=OrderKind.CANCEL, node_id="n0", target="order-n0")
        tx.orders.add([draft], NOW)
        tx.orders.withdraw(["order-n0"])
        tx.targets.update([Change(_rollout(control).id, target, replace(target, cancel_order_id="cancel"))])
    answer = Event(
        id="e1", kind=EventKind.CANCEL_ANSWER, node_id="n0", seq=1, at=NOW, order_id="cancel",
        cancel_answer=CancelAnswer.STOPPED,
    )  # fmt: skip

    control.push(answer)
    control.ingest.step()

    assert _target(control, "n0").state is TargetState.CANCELLED
    assert [_order_state(control, order) for order in ("order-n0", "cancel")] == [OrderState.DONE] * 2


def test_a_late_outcome_corrects_a_node_that_had_been_given_up(control: Control) -> None:
    target = _target(control, "n0")
    with control.store.transaction() as tx:
        given_up = replace(target, state=TargetState.UNKNOWN, finished_at=NOW)
        tx.targets.update([Change(_rollout(control).id, target, given_up)])

    control.push(outcome(target, ScheduleState.COMPLETED))
    control.ingest.step()

    assert _target(control, "n0").state is TargetState.SUCCEEDED


def test_an_event_that_comes_three_times_counts_once(control: Control) -> None:
    accepted = event(_target(control, "n0"), EventKind.ACCEPTED)
    control.push(accepted, accepted)
    control.ingest.step()
    version = _rollout(control).version

    control.push(accepted)
    control.ingest.step()

    with control.store.snapshot() as tx:
        assert tx.events.list() == [accepted]
    assert (_rollout(control).version, control.pushed()) == (version, 0)
    assert (control.count("events_ingested", kind="accepted"), control.count("events_repeated")) == (1, 2)


def test_events_that_never_came_are_counted_per_node(control: Control) -> None:
    control.push(_hello("n0", 1), _hello("n0", 4), _hello("n1", 1))

    control.ingest.step()

    with control.store.snapshot() as tx:
        assert tx.nodes.gaps() == {"n0": 2}


def test_one_nodes_event_about_anothers_order_changes_nothing(control: Control) -> None:
    before = _target(control, "n1")

    control.push(replace_node(outcome(before, ScheduleState.FAILED), "n0"))
    control.ingest.step()

    assert (_target(control, "n1"), _order_state(control, "order-n1")) == (before, OrderState.PENDING)


def replace_node(about: Event, node_id: str) -> Event:
    """Return the event as another node would say it."""
    return about.model_copy(update={"node_id": node_id})


def test_events_wait_in_redis_while_the_ingester_is_killed_and_count_once(control: Control) -> None:
    target = _target(control, "n0")
    control.push(event(target, EventKind.ACCEPTED), outcome(target, ScheduleState.COMPLETED))

    crash("ingest", control.store, control.redis_url)
    left, committed = control.pushed(), _target(control, "n0").state
    control.redis.delete("controller:events:ingester")  # what time does to the lease of a dead ingester
    control.ingest.step()

    assert (left, committed) == (2, TargetState.SUCCEEDED)
    assert (control.pushed(), control.count("events_repeated"), control.woken) == (0, 2, 0)


def test_events_survive_redis_being_away_for_ingest(control: Control, redis_server: RedisServer) -> None:
    control.ingest.step()
    redis_server.kill()

    with pytest.raises(TransportError, match="ingest lease"):
        control.ingest.step()
    redis_server.start()
    control.push(_hello("n0"))
    control.ingest.step()

    assert control.count("events_ingested", kind="hello") == 1


def test_only_one_ingester_works_at_a_time(control: Control) -> None:
    control.push(_hello("n0"))
    control.ingest.step()
    second = control.another_ingest()
    control.push(_hello("n0", 2))

    pause = second.step()
    left_by_second = control.pushed()
    control.ingest.release()
    second.step()

    assert (pause, left_by_second, control.pushed()) == (1.0, 1, 0)
