"""The outbox on both databases: which orders are due, and what happens to them on the way."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from controller.rollout.model import OrderDraft, OrderState
from controller.store.store import Store
from shared.errors import StaleVersionError
from shared.states import OrderKind
from tests.support.rollouts import NOW, UPDATE, fleet, seconds


def _ordered(store: Store, *orders: tuple[str, str], expires_at: datetime | None = None) -> None:
    """Store one update order per (order id, node id)."""
    with store.transaction() as tx:
        for node in fleet(3).values():
            tx.nodes.register(node, NOW)
        drafts = [
            OrderDraft(id=order_id, kind=OrderKind.UPDATE, node_id=node_id, update=UPDATE, expires_at=expires_at)
            for order_id, node_id in orders
        ]
        tx.orders.add(drafts, NOW)


def _claim(store: Store, now: datetime = NOW, *, nodes: int = 10) -> list[str]:
    with store.transaction() as tx:
        return [row.order.id for row in tx.orders.claim(now, seconds(15), nodes=nodes)]


def _states(store: Store, *order_ids: str) -> Sequence[OrderState]:
    with store.snapshot() as tx:
        return [tx.orders.get(order_id).state for order_id in order_ids]


def test_a_claimed_order_is_not_due_again_until_the_claim_lapses(store: Store) -> None:
    _ordered(store, ("a", "n0"))

    claims = [_claim(store), _claim(store, seconds(14)), _claim(store, seconds(15))]

    assert claims == [["a"], [], ["a"]]


def test_a_published_order_is_due_again_after_its_lease(store: Store) -> None:
    _ordered(store, ("a", "n0"))
    _claim(store)

    with store.transaction() as tx:
        tx.orders.published({"a": seconds(60)}, seconds(1))
        row, due = tx.orders.get("a"), tx.orders.next_due()

    assert (row.state, row.published_at, row.publish_count, due) == (OrderState.PUBLISHED, seconds(1), 1, seconds(60))
    assert [_claim(store, seconds(59)), _claim(store, seconds(60))] == [[], ["a"]]


def test_all_unanswered_orders_of_a_node_go_together_in_the_order_of_their_numbers(store: Store) -> None:
    _ordered(store, ("first", "n0"), ("other", "n1"))
    _claim(store)
    with store.transaction() as tx:
        tx.orders.published({"first": seconds(60), "other": seconds(60)}, NOW)
    _ordered(store, ("second", "n0"))

    assert _claim(store, seconds(1)) == ["first", "second"]


def test_a_node_waits_while_an_earlier_order_of_its_is_being_published(store: Store) -> None:
    _ordered(store, ("first", "n0"))
    _claim(store)
    _ordered(store, ("second", "n0"), ("other", "n1"))

    claims = [_claim(store, seconds(1)), _claim(store, seconds(15))]

    assert claims == [["other"], ["first", "second", "other"]]


def test_nodes_are_taken_in_portions(store: Store) -> None:
    _ordered(store, ("a", "n0"), ("b", "n1"), ("c", "n2"))

    portions = [_claim(store, nodes=2), _claim(store, nodes=2), _claim(store, nodes=2)]

    assert [len(portion) for portion in portions] == [2, 1, 0]
    assert {order for portion in portions for order in portion} == {"a", "b", "c"}


def test_withdrawing_tells_which_orders_may_have_left(store: Store) -> None:
    _ordered(store, ("left", "n0"))
    _claim(store)
    _ordered(store, ("stayed", "n1"))

    with store.transaction() as tx:
        left = tx.orders.withdraw(["left", "stayed"])

    assert left == {"left"}
    assert _states(store, "left", "stayed") == [OrderState.WITHDRAWN, OrderState.WITHDRAWN]
    assert _claim(store, seconds(999)) == []


def test_what_was_withdrawn_while_it_was_being_published_stays_withdrawn(store: Store) -> None:
    _ordered(store, ("a", "n0"))
    _claim(store)
    with store.transaction() as tx:
        tx.orders.withdraw(["a"])

    with store.transaction() as tx:
        tx.orders.published({"a": seconds(60)}, NOW)
        due = tx.orders.next_due()

    assert (_states(store, "a"), due) == ([OrderState.WITHDRAWN], None)


def test_an_expired_order_is_closed_and_an_accepted_one_is_still_asked_about(store: Store) -> None:
    _ordered(store, ("silent", "n0"), ("taken", "n1"), expires_at=seconds(5))
    with store.transaction() as tx:
        seen = tx.orders.get("taken")
        tx.orders.update([(seen, replace(seen, state=OrderState.ACCEPTED, next_publish_at=seconds(30)))])

    with store.transaction() as tx:
        early, closed = tx.orders.close_expired(seconds(4)), tx.orders.close_expired(seconds(5))

    assert (early, closed) == ([], ["silent"])
    assert _claim(store, seconds(30)) == ["taken"]


def test_an_answer_to_an_order_that_moved_meanwhile_is_stale(store: Store) -> None:
    _ordered(store, ("a", "n0"))
    with store.transaction() as tx:
        seen = tx.orders.get("a")
        tx.orders.update([(seen, replace(seen, state=OrderState.DONE, next_publish_at=None))])

    with pytest.raises(StaleVersionError, match="somebody else moved one"), store.transaction() as tx:
        tx.orders.update([(seen, replace(seen, state=OrderState.ACCEPTED))])

    assert _states(store, "a") == [OrderState.DONE]


def test_two_dispatchers_at_once_never_claim_the_same_order(store: Store) -> None:
    _ordered(store, *((f"{node}-{number}", node) for node in ("n0", "n1", "n2") for number in range(40)))
    claimed: list[str] = []
    start = threading.Barrier(2)

    def dispatch() -> None:
        start.wait()
        for _ in range(3):
            claimed.extend(_claim(store, nodes=1))

    dispatchers = [threading.Thread(target=dispatch) for _ in range(2)]
    for dispatcher in dispatchers:
        dispatcher.start()
    for dispatcher in dispatchers:
        dispatcher.join()

    assert len(claimed) == len(set(claimed)) > 0
