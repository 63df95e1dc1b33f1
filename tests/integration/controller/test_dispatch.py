"""Dispatch against a real Redis and both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.rollout.model import OrderState
from controller.store.store import Store
from deploy.local.embedded_redis import RedisServer
from shared.errors import TransportError
from shared.queues import orders_queue, work_list
from tests.support.control import LEASES, Control
from tests.support.crashing_controller import crash
from tests.support.rollouts import NOW, seconds


@pytest.fixture
def control(store: Store, redis_url: str) -> Control:
    """Two registered nodes, no orders yet."""
    made = Control(store, redis_url)
    made.register("n0", "n1")
    return made


def _row_state(control: Control, order_id: str) -> OrderState:
    with control.store.snapshot() as tx:
        return tx.orders.get(order_id).state


def test_a_committed_order_reaches_its_nodes_own_queue_signed(control: Control) -> None:
    control.order("o1", "n0")

    control.dispatcher.step()

    (order,) = control.queued("n0")
    assert (order.id, order.node_id, order.seq, control.queued("n1")) == ("o1", "n0", 1, [])
    assert _row_state(control, "o1") is OrderState.PUBLISHED
    assert control.count("orders_published", kind="update") == 1


def test_orders_of_one_node_arrive_in_the_order_of_their_numbers(control: Control) -> None:
    for order_id in ("o1", "o2", "o3"):
        control.order(order_id, "n0")

    control.dispatcher.step()

    assert [order.id for order in control.queued("n0")] == ["o1", "o2", "o3"]


def test_the_pause_ends_when_the_next_order_is_due(control: Control) -> None:
    quiet = control.dispatcher.step()
    control.order("o1", "n0")
    busy = control.dispatcher.step()
    control.later(29.75)

    assert (quiet, busy, control.dispatcher.step()) == (1.0, 0.0, 0.25)


def test_an_order_stays_due_while_redis_is_away(control: Control, redis_server: RedisServer) -> None:
    control.order("o1", "n0")
    redis_server.kill()

    for _ in range(2):
        with pytest.raises(TransportError, match="cannot"):
            control.dispatcher.step()
    state_meanwhile = _row_state(control, "o1")
    redis_server.start()
    control.dispatcher.step()

    assert state_meanwhile is OrderState.PENDING
    assert [order.id for order in control.queued("n0")] == ["o1"]
    assert control.count("orders_postponed", reason="unreachable") == 2


def test_a_node_that_is_off_finds_each_order_once(control: Control) -> None:
    control.order("o1", "n0")

    for _ in range(10):
        control.dispatcher.step()
        control.later(LEASES.longest.total_seconds())

    assert [order.id for order in control.queued("n0")] == ["o1"]
    assert control.count("orders_postponed", reason="queued") == 9


def test_an_order_in_the_nodes_hands_is_not_sent_again(control: Control) -> None:
    control.order("o1", "n0")
    control.dispatcher.step()
    queue = orders_queue("n0")
    control.redis.lmove(queue, work_list(queue), "RIGHT", "LEFT")

    control.later(30)
    control.dispatcher.step()

    assert control.queued("n0") == []


def test_what_an_emptied_redis_lost_comes_again_in_order(control: Control) -> None:
    control.order("o1", "n0")
    control.dispatcher.step()
    control.redis.flushall()
    control.later(1)
    control.order("o2", "n0")

    control.dispatcher.step()

    assert [order.id for order in control.queued("n0")] == ["o1", "o2"]
    assert [order.seq for order in control.queued("n0")] == [1, 2]


def test_the_lease_doubles_up_to_its_longest(control: Control) -> None:
    control.order("o1", "n0")
    leases = []

    for _ in range(4):
        control.dispatcher.step()
        control.redis.flushall()
        with control.store.snapshot() as tx:
            due = tx.orders.next_due()
        assert due is not None
        leases.append((due - control.now).total_seconds())
        control.now = due

    assert leases == [30, 60, 100, 100]


def test_a_withdrawn_order_is_not_published(control: Control) -> None:
    control.order("o1", "n0")
    with control.store.transaction() as tx:
        tx.orders.withdraw(["o1"])

    control.dispatcher.step()

    assert control.queued("n0") == []


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_a_clock_that_was_ahead_by_years_puts_no_order_off(control: Control, *, restarted: bool) -> None:
    control.order("o1", "n0")
    control.later(10 * 365 * 86400)
    control.dispatcher.step()
    control.redis.flushall()

    control.now = NOW
    if restarted:
        del control.dispatcher
    for _ in range(2):
        control.dispatcher.step()

    assert [order.id for order in control.queued("n0")] == ["o1"]


@pytest.mark.parametrize("key", [orders_queue("n0"), work_list(orders_queue("n0"))], ids=["queue", "work-list"])
def test_a_key_that_is_no_queue_holds_up_the_orders_of_its_own_node_alone(control: Control, key: str) -> None:
    control.order("o1", "n0")
    control.order("o2", "n1")
    control.dispatcher.step()
    control.redis.flushall()
    control.redis.set(key, "another program's")

    control.later(30)
    control.order("o3", "n1")
    control.dispatcher.step()
    others = [order.id for order in control.queued("n1")]
    control.redis.delete(key)
    control.later(30)
    control.dispatcher.step()

    assert others == ["o2", "o3"]
    assert [order.id for order in control.queued("n0")] == ["o1"]
    assert control.count("orders_postponed", reason="blocked") == 1


def test_an_expired_order_is_closed_instead_of_published(control: Control) -> None:
    control.order("o1", "n0", expires_at=seconds(10))
    control.later(10)

    control.dispatcher.step()

    assert (control.queued("n0"), _row_state(control, "o1")) == ([], OrderState.WITHDRAWN)


def test_an_accepted_order_is_asked_about_after_a_long_silence(control: Control) -> None:
    control.order("o1", "n0")
    control.dispatcher.step()
    control.redis.flushall()
    with control.store.transaction() as tx:
        seen = tx.orders.get("o1")
        accepted = replace(seen, state=OrderState.ACCEPTED, next_publish_at=NOW + LEASES.silence)
        tx.orders.update([(seen, accepted)])
    lengths = []

    for wait in (LEASES.silence - timedelta(seconds=1), timedelta(seconds=1)):
        control.now += wait
        control.dispatcher.step()
        lengths.append(len(control.queued("n0")))

    assert (lengths, _row_state(control, "o1")) == ([0, 1], OrderState.ACCEPTED)


@pytest.mark.parametrize("where", ["commit", "claim"])
def test_a_controller_killed_before_publishing_only_delays_the_order(control: Control, where: str) -> None:
    if where == "claim":
        control.order("o1", "n0")

    crash(where, control.store, control.redis_url)
    control.later(LEASES.claim.total_seconds())
    control.dispatcher.step()

    assert [order.id for order in control.queued("n0")] == ["o1"]
    assert _row_state(control, "o1") is OrderState.PUBLISHED


def test_a_controller_killed_after_publishing_leaves_one_copy(control: Control) -> None:
    control.order("o1", "n0")

    crash("publish", control.store, control.redis_url)
    state_meanwhile, copies = _row_state(control, "o1"), control.redis.llen(orders_queue("n0"))
    control.later(LEASES.claim.total_seconds())
    control.dispatcher.step()

    assert (state_meanwhile, copies) == (OrderState.PENDING, 1)
    assert (_row_state(control, "o1"), control.redis.llen(orders_queue("n0"))) == (OrderState.PUBLISHED, 1)
