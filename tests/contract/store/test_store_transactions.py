"""Transactions on both databases: all or nothing, one writer's word against another's."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from controller.rollout.model import OrderDraft, Rollout
from controller.store.store import Store, Transaction
from controller.store.targets import Change
from shared.errors import ConflictError, StaleVersionError, TransportError
from shared.messages import new_id
from shared.states import OrderKind, RolloutState, TargetState
from tests.support.rollouts import NOW, UPDATE, fleet, rollout

NODES = fleet(4)


def _stored(store: Store) -> Rollout:
    with store.transaction() as tx:
        for node in NODES.values():
            tx.nodes.register(node, NOW)
        return tx.rollouts.insert(rollout(NODES))


def _draft(node_id: str) -> OrderDraft:
    return OrderDraft(id=new_id(), kind=OrderKind.UPDATE, node_id=node_id, update=UPDATE)


def test_a_failing_transaction_leaves_nothing_and_wakes_nobody(store: Store) -> None:
    woken: list[str] = []

    def write_and_fail(tx: Transaction) -> None:
        tx.nodes.register(NODES["n0"], NOW)
        tx.after_commit(lambda: woken.append("too early"))
        raise ConflictError("changed my mind")

    with pytest.raises(ConflictError, match="changed my mind"), store.transaction() as tx:
        write_and_fail(tx)

    with store.snapshot() as tx:
        assert tx.nodes.all() == []
    assert woken == []


def test_actions_after_commit_see_the_committed_rows_and_cannot_undo_them(store: Store) -> None:
    seen: list[str] = []

    def look() -> None:
        with store.snapshot() as tx:
            seen.extend(node.id for node in tx.nodes.all())

    with store.transaction() as tx:
        tx.nodes.register(NODES["n0"], NOW)
        tx.after_commit(lambda: 1 // 0)
        tx.after_commit(look)

    assert seen == ["n0"]


def test_the_second_of_two_savers_is_told_and_changes_nothing(store: Store) -> None:
    loaded = _stored(store)

    with store.transaction() as tx:
        first = tx.rollouts.save(replace(loaded, state=RolloutState.RUNNING), seen=loaded)
    with pytest.raises(StaleVersionError, match="its version is no longer 1") as caught, store.transaction() as tx:
        tx.rollouts.save(replace(loaded, state=RolloutState.PAUSED), seen=loaded)

    with store.snapshot() as tx:
        assert tx.rollouts.get(loaded.id) == first
    assert (first.version, first.state, caught.value.retriable) == (2, RolloutState.RUNNING, True)


def test_a_target_moves_only_from_the_state_and_order_it_was_seen_in(store: Store) -> None:
    loaded = _stored(store)
    target = loaded.targets[0]
    ordered = replace(target, state=TargetState.ORDERED, order_id="o1", ordered_at=NOW)
    with store.transaction() as tx:
        tx.targets.update([Change(loaded.id, target, ordered)])

    late = replace(target, state=TargetState.CANCELLED)
    with pytest.raises(StaleVersionError, match="somebody else moved one"), store.transaction() as tx:
        tx.targets.update([Change(loaded.id, target, late)])

    with store.snapshot() as tx:
        assert tx.targets.find("o1")[0].target == ordered


def test_two_writers_at_once_number_orders_without_a_gap_or_a_twin(store: Store) -> None:
    _stored(store)
    per_writer, errors = 25, []
    start = threading.Barrier(2)

    def write() -> None:
        start.wait()
        for _ in range(per_writer):
            try:
                with store.transaction() as tx:
                    tx.orders.add([_draft("n1"), _draft("n0")], NOW)
            except Exception as error:  # noqa: BLE001 - handed to the test's own thread
                errors.append(error)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    with store.transaction() as tx:
        claimed = tx.orders.claim(NOW, NOW + timedelta(seconds=9), nodes=10)
    expected = [(node_id, seq) for node_id in ("n0", "n1") for seq in range(1, 2 * per_writer + 1)]
    assert errors == []
    assert [(row.order.node_id, row.order.seq) for row in claimed] == expected


def test_two_writers_at_once_decide_one_rollout_one_after_the_other(store: Store) -> None:
    loaded = _stored(store)
    per_writer, conflicts = 20, []
    start = threading.Barrier(2)

    def decide() -> None:
        start.wait()
        for _ in range(per_writer):
            try:
                with store.transaction() as tx:
                    seen = tx.rollouts.get(loaded.id)
                    first = seen.targets[0]
                    counted = replace(first, attempts=first.attempts + 1)
                    tx.rollouts.save(replace(seen, targets=(counted, *seen.targets[1:])), seen=seen)
            except Exception as error:  # noqa: BLE001 - handed to the test's own thread
                conflicts.append(error)

    writers = [threading.Thread(target=decide) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    with store.snapshot() as tx:
        assert tx.rollouts.get(loaded.id).targets[0].attempts == 2 * per_writer
    assert conflicts == []


def test_a_snapshot_sees_one_instant_while_a_writer_commits(store: Store) -> None:
    loaded = _stored(store)

    with store.snapshot() as before:
        first_look = before.rollouts.get(loaded.id)
        with store.transaction() as tx:
            tx.rollouts.save(replace(loaded, state=RolloutState.RUNNING), seen=loaded)
        second_look = before.rollouts.get(loaded.id)

    assert first_look == second_look == loaded


def test_a_full_disk_is_named_with_what_helps(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/fleet.sqlite")
    store.migrate()
    with store.engine.connect() as connection:  # the pool's one connection, so that what follows has the same limit
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    def write_much() -> None:
        with store.transaction() as tx:
            for node in fleet(500).values():
                tx.nodes.register(node, NOW)

    with pytest.raises(TransportError, match="disk is full") as caught:
        write_much()
    store.close()

    assert caught.value.cure == "free space on the database's disk"
