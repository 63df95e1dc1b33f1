"""The repositories on both databases: what is written comes back the same, and is found the ways it is looked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from controller.rollout.model import FleetNode, OrderDraft, Policy, Rollout, WavePlan
from controller.store.nodes import Contact
from controller.store.store import Store
from controller.store.targets import Change
from shared.errors import ConflictError, NotFoundError
from shared.messages import CheckResult, Event, HealthReport, RollbackRecord
from shared.slots import Slot
from shared.states import EventKind, OrderKind, Phase, RollbackType, RolloutState, TargetState, Verdict, WaveState
from tests.support.rollouts import NOW, UPDATE, fleet, node, rollout, seconds

NODES = fleet(5)
POLICY = Policy(waves=(WavePlan(count=1, soak=2.5), WavePlan(percent=100)), max_failed=2, max_in_flight=3)


def _register(store: Store) -> None:
    with store.transaction() as tx:
        for each in NODES.values():
            tx.nodes.register(each, NOW)


def _stored(store: Store, **values: Any) -> Rollout:
    _register(store)
    with store.transaction() as tx:
        return tx.rollouts.insert(rollout(NODES, POLICY, **values))


def _event(event_id: str, node_id: str = "n0", seq: int = 1) -> Event:
    return Event(id=event_id, kind=EventKind.PHASE, node_id=node_id, seq=seq, at=NOW, order_id="o1")


def _rollback(record_id: str, at: datetime, rollout_id: str = "") -> RollbackRecord:
    return RollbackRecord(
        id=record_id,
        at=at,
        type=RollbackType.AUTOMATIC,
        reason="Critical check service failed",
        from_slot=Slot.B,
        to_slot=Slot.A,
        rollout_id=rollout_id,
    )


def test_a_rollout_comes_back_as_it_was_stored(store: Store) -> None:
    stored = _stored(store, idempotency_key="build-7", request_digest="d" * 64)

    with store.snapshot() as tx:
        loaded, by_key, unknown = tx.rollouts.get(stored.id), tx.rollouts.by_key("build-7"), tx.rollouts.by_key("x")

    assert loaded == by_key == stored
    assert (loaded.version, loaded.policy, unknown) == (1, POLICY, None)


def test_saving_writes_waves_and_targets_that_changed(store: Store) -> None:
    stored = _stored(store)
    wave = replace(stored.waves[0], state=WaveState.OPEN, opened_at=seconds(1.25), reason="gate open")
    target = replace(
        stored.targets[0], state=TargetState.ACCEPTED, order_id="o1", phase=Phase.FLASHING, accepted_at=seconds(2)
    )
    changed = replace(
        stored, state=RolloutState.RUNNING, waves=(wave, *stored.waves[1:]), targets=(target, *stored.targets[1:])
    )

    with store.transaction() as tx:
        saved = tx.rollouts.save(changed, seen=stored)

    with store.snapshot() as tx:
        assert tx.rollouts.get(stored.id) == saved == replace(changed, version=2)
        (outline,) = tx.rollouts.list()
        busy = tx.nodes.get(target.node_id)
    assert (busy.current_rollout, busy.current_phase) == (stored.id, Phase.FLASHING)
    assert outline.rollout == replace(saved, targets=())
    assert outline.counts == {TargetState.ACCEPTED: 1, TargetState.WAITING: len(NODES) - 1}


def test_an_idempotency_key_belongs_to_one_rollout_and_none_to_any_number(store: Store) -> None:
    stored = _stored(store, idempotency_key="build-7")
    with store.transaction() as tx:
        for name in ("rollout-20260127-002", "rollout-20260127-003"):
            tx.rollouts.insert(replace(stored, id=name, idempotency_key=""))

    with pytest.raises(ConflictError, match="idempotency_key"), store.transaction() as tx:
        tx.rollouts.insert(replace(stored, id="rollout-20260127-004"))


def test_a_rollout_over_an_unknown_node_is_refused(store: Store) -> None:
    with pytest.raises(ConflictError, match="cannot store row"), store.transaction() as tx:
        tx.rollouts.insert(rollout(NODES, POLICY))


def test_rollouts_are_listed_newest_first_and_active_ones_oldest_first(store: Store) -> None:
    first = _stored(store)
    done = tuple(replace(target, state=TargetState.SUCCEEDED) for target in first.targets)
    with store.transaction() as tx:
        direct = tx.rollouts.insert(replace(first, id="r2", created_at=seconds(1), direct=True))
        over = tx.rollouts.insert(
            replace(first, id="r3", created_at=seconds(2), state=RolloutState.SUCCEEDED, targets=done)
        )
        aborted = tx.rollouts.insert(replace(first, id="r4", created_at=seconds(3), state=RolloutState.ABORTED))

    with store.snapshot() as tx:
        listed, newest, direct_ones = tx.rollouts.list(), tx.rollouts.list(limit=2), tx.rollouts.list(direct=True)
        active = tx.rollouts.active()

    assert [each.rollout.id for each in listed] == [aborted.id, over.id, direct.id, first.id]
    assert [each.rollout.id for each in newest] == [aborted.id, over.id]
    assert [each.rollout.id for each in direct_ones] == [direct.id]
    assert active == [first.id, "r2", "r4"]  # an aborted one whose nodes have not answered is still of interest


def test_a_lease_is_one_owners_until_it_ends_or_is_given_back(store: Store) -> None:
    stored = _stored(store)
    ttl = timedelta(seconds=10)

    with store.transaction() as tx:
        answers = [
            tx.rollouts.acquire_lease(stored.id, "a", NOW, ttl),
            tx.rollouts.acquire_lease(stored.id, "b", seconds(9), ttl),
            tx.rollouts.acquire_lease(stored.id, "a", seconds(9), ttl),
            tx.rollouts.acquire_lease(stored.id, "b", seconds(18), ttl),
            tx.rollouts.acquire_lease(stored.id, "b", seconds(19), ttl),
        ]
        tx.rollouts.release_leases("b")
        answers.append(tx.rollouts.acquire_lease(stored.id, "a", seconds(20), ttl))

    assert answers == [True, False, True, False, True, True]


def test_a_lease_from_a_clock_that_was_ahead_keeps_nobody_out(store: Store) -> None:
    stored = _stored(store)
    ttl = timedelta(seconds=10)

    with store.transaction() as tx:
        ahead = tx.rollouts.acquire_lease(stored.id, "crashed", NOW + timedelta(days=3650), ttl)
        after = tx.rollouts.acquire_lease(stored.id, "b", NOW, ttl)

    assert (ahead, after) == (True, True)


def test_a_turn_is_found_by_update_order_cancel_order_and_schedule(store: Store) -> None:
    stored = _stored(store)
    target = stored.targets[2]
    moved = replace(target, order_id="o1", cancel_order_id="c1", schedule_id="sched-20260127-001")
    with store.transaction() as tx:
        tx.targets.update([Change(stored.id, target, moved)])

    with store.snapshot() as tx:
        by_order = tx.targets.by_order(["o1", "c1", "other", ""])
        found = [*tx.targets.find("o1"), *tx.targets.find("sched-20260127-001")]
        of_node, of_all = tx.targets.of_nodes([moved.node_id]), tx.targets.of_nodes(limit=3)
        nothing = tx.targets.find("")

    assert {order_id: turn.target for order_id, turn in by_order.items()} == {"o1": moved, "c1": moved}
    assert [turn.target for turn in [*found, *of_node]] == [moved] * 3
    assert (found[0].update, found[0].rollout_id, len(of_all), nothing) == (UPDATE, stored.id, 3, [])


def test_a_node_is_busy_while_a_turn_of_its_is_not_over(store: Store) -> None:
    stored = _stored(store)
    over, *rest = stored.targets
    with store.transaction() as tx:
        done = replace(over, state=TargetState.SUCCEEDED)
        tx.rollouts.save(replace(stored, targets=(done, *rest)), seen=stored)

    with store.snapshot() as tx:
        busy = tx.targets.busy([*NODES, "nobody"])

    assert busy == {target.node_id: stored.id for target in rest}


def test_registering_again_keeps_what_the_node_reported(store: Store) -> None:
    report = HealthReport(
        verdict=Verdict.DEGRADED, checked_at=NOW, checks=(CheckResult(name="network", verdict=Verdict.UNHEALTHY),)
    )
    reported = node("n0").facts
    with store.transaction() as tx:
        tx.nodes.register(FleetNode(id="n0", labels={"site": "berlin"}, address="a:1", event_key="k"), NOW)
        tx.nodes.heard([Contact(node_id="n0", seen_at=seconds(5), seqs=(1,), facts=reported, health=report)])
        again = tx.nodes.register(FleetNode(id="n0", labels={"site": "kiel"}, address="b:2", event_key="l"), NOW)
        keys = tx.nodes.event_keys(["n0", "nobody"])

    assert (again.labels, again.address, again.facts, again.health) == ({"site": "kiel"}, "b:2", reported, report)
    assert (again.last_seen, keys) == (seconds(5), {"n0": "l"})


def test_event_numbers_that_were_skipped_are_counted_until_they_come(store: Store) -> None:
    _register(store)
    seen = []

    for batch in [(1, 2), (5,), (3,), (9, 8), (4,), (6, 7)]:
        with store.transaction() as tx:
            tx.nodes.heard([Contact(node_id="n0", seen_at=NOW, seqs=batch)])
            seen.append(tx.nodes.gaps().get("n0", 0))

    assert seen == [0, 2, 1, 3, 2, 0]


def test_numbers_begun_anew_after_a_damaged_outbox_are_no_gap(store: Store) -> None:
    _register(store)
    seen = []
    anew = 1_795_442_801_130  # milliseconds, as the node's outbox begins anew

    for batch in [(1,), (3,), (anew,), (anew + 1, anew + 3)]:
        with store.transaction() as tx:
            tx.nodes.heard([Contact(node_id="n0", seen_at=NOW, seqs=batch)])
            seen.append(tx.nodes.gaps().get("n0", 0))

    assert seen == [0, 1, 1, 2]


def test_an_event_counts_once_per_node_and_id(store: Store) -> None:
    with store.transaction() as tx:
        first = tx.events.add_new([_event("e1"), _event("e2", seq=2), _event("e1"), _event("e1", "n1")], NOW)
    with store.transaction() as tx:
        second = tx.events.add_new([_event("e2", seq=2), _event("e3", seq=3)], NOW)
        kept = tx.events.list(node_id="n0")
        forgotten = tx.events.forget_before(seconds(1))

    assert [(each.node_id, each.id) for each in first] == [("n0", "e1"), ("n0", "e2"), ("n1", "e1")]
    assert [each.id for each in second] == ["e3"]
    assert ([each.id for each in kept], forgotten) == (["e3", "e2", "e1"], 4)


def test_rollback_history_is_fleet_wide_oldest_first_and_free_of_twins(store: Store) -> None:
    with store.transaction() as tx:
        added = [
            tx.rollbacks.add("n1", _rollback("x", seconds(20), "r1")),
            tx.rollbacks.add("n0", _rollback("x", seconds(10))),
            tx.rollbacks.add("n1", _rollback("x", seconds(20), "r1")),
        ]
        everything, last = tx.rollbacks.list(), tx.rollbacks.list(limit=1)
        of_node, of_rollout = tx.rollbacks.list(node_ids=["n0"]), tx.rollbacks.list(rollout_id="r1")

    assert added == [True, True, False]
    assert [each.node_id for each in everything] == ["n0", "n1"]
    assert ([each.node_id for each in last], of_node[0].record.at) == (["n1"], seconds(10))
    assert [each.record for each in of_rollout] == [_rollback("x", seconds(20), "r1")]


def test_ids_are_counted_per_day_and_grow_past_three_digits(store: Store) -> None:
    with store.transaction() as tx:
        first, many = tx.ids.rollout(NOW), tx.ids.schedules(NOW, 1000)
        next_day = tx.ids.rollout(NOW + timedelta(days=1))

    assert (first, next_day) == ("rollout-20260127-001", "rollout-20260128-001")
    assert (many[0], many[-1], len(set(many))) == ("sched-20260127-001", "sched-20260127-1000", 1000)


def test_instants_are_stored_as_utc_and_naive_ones_refused(store: Store) -> None:
    east = datetime(2026, 1, 27, 23, 30, tzinfo=timezone(timedelta(hours=9)))
    with store.transaction() as tx:
        tx.audit.add(at=east, actor="user:alice", action="rollout.create", subject="r1", reason="why")
        entry = tx.audit.list(subject="r1")[0]
        counts = tx.audit.count("rollout.create", east), tx.audit.count("rollout.create", east + timedelta(seconds=1))

    assert (entry.at, entry.at.tzinfo, counts) == (datetime(2026, 1, 27, 14, 30, tzinfo=UTC), UTC, (1, 0))
    with pytest.raises(Exception, match="give it a time zone"), store.transaction() as tx:
        tx.audit.add(at=east.replace(tzinfo=None), actor="a", action="b", subject="c")


@pytest.mark.parametrize("what", ["node", "order", "rollout"])
def test_what_is_not_there_is_named(store: Store, what: str) -> None:
    with store.snapshot() as tx, pytest.raises(NotFoundError, match=f"cannot find {what} xyz"):
        getattr(tx, f"{what}s").get("xyz")


def test_an_order_for_an_unknown_node_is_refused(store: Store) -> None:
    draft = OrderDraft(id="o1", kind=OrderKind.ROLLBACK, node_id="nobody")

    with pytest.raises(NotFoundError, match="nobody: it is not registered"), store.transaction() as tx:
        tx.orders.add([draft], NOW)
