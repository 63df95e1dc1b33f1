"""The inbox against a real Redis: waiting takes nothing away, and removing never takes another's."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from controller.inbox import Inbox
from shared.celery_app import redis_client
from shared.queues import EVENTS_QUEUE


@pytest.fixture
def redis(redis_url: str) -> Any:
    """A client of the test's own."""
    return redis_client(redis_url)


def test_waiting_ends_with_the_first_event_and_leaves_it_there(redis: Any, redis_url: str) -> None:
    inbox, answers = Inbox(redis_client(redis_url)), []
    waiter = threading.Thread(target=lambda: answers.append(inbox.wait(30)))
    waiter.start()

    redis.lpush(EVENTS_QUEUE, b"one")
    waiter.join(timeout=10)

    assert (answers, inbox.read(5)) == ([True], [b"one"])


def test_waiting_keeps_the_oldest_event_the_oldest(redis: Any, redis_url: str) -> None:
    inbox = Inbox(redis_client(redis_url))
    redis.lpush(EVENTS_QUEUE, b"one", b"two", b"three")

    answer = inbox.wait(30)

    assert (answer, inbox.read(2), inbox.read(9)) == (True, [b"one", b"two"], [b"one", b"two", b"three"])


def test_waiting_in_vain_ends_in_time(redis_url: str) -> None:
    assert Inbox(redis_client(redis_url)).wait(0.05) is False


def test_removing_what_another_has_removed_leaves_newer_events(redis: Any, redis_url: str) -> None:
    one, other = Inbox(redis_client(redis_url)), Inbox(redis_client(redis_url))
    redis.lpush(EVENTS_QUEUE, b"one", b"two")
    batch = one.read(9)
    other.remove(other.read(9))
    redis.lpush(EVENTS_QUEUE, b"three", b"four")

    one.remove(batch)

    assert one.read(9) == [b"three", b"four"]


def test_the_lease_is_one_holders_until_it_lapses_or_is_given_back(redis: Any, redis_url: str) -> None:
    first, second = Inbox(redis_client(redis_url)), Inbox(redis_client(redis_url))
    answers = [first.hold(), second.hold(), first.hold()]

    redis.delete("controller:events:ingester")  # it lapses
    answers += [second.hold(), first.hold()]
    first.release()  # not its own any more: changes nothing
    answers += [first.hold()]
    second.release()

    assert [*answers, first.hold()] == [True, False, True, True, False, False, True]
