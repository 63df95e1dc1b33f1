"""The transport alone, on a real server: order, recovery, refusals, and what it will not do."""

from __future__ import annotations

import kombu
import pytest
import redis

from deploy.local.embedded_redis import RedisServer
from tests.support.redis_consumer import QUEUE, Consumer, lists, message


@pytest.fixture
def client(redis_server: RedisServer) -> redis.Redis:
    return redis_server.client()


def test_messages_come_in_the_order_of_sending_and_leave_nothing(client: redis.Redis, redis_url: str) -> None:
    client.lpush(QUEUE, *[message(n) for n in range(5)])

    with Consumer(redis_url) as consumer:
        got = consumer.drain(5)

    assert got == ["0", "1", "2", "3", "4"]
    assert lists(client) == {}


def test_unacknowledged_message_lies_in_the_work_list_and_holds_the_credit(client: redis.Redis, redis_url: str) -> None:
    client.lpush(QUEUE, message(1), message(2))

    with Consumer(redis_url, acknowledge=False) as consumer:
        got = consumer.drain(2)

        assert got == ["1"]
        assert lists(client) == {"": 1, ":work": 1}


def test_what_earlier_lives_left_comes_first_and_oldest_first(client: redis.Redis, redis_url: str) -> None:
    client.lpush(QUEUE, *[message(n) for n in range(6)])
    for _ in range(3):
        client.lmove(QUEUE, f"{QUEUE}:work", "RIGHT", "LEFT")

    with Consumer(redis_url) as consumer:
        got = consumer.drain(6)

    assert got == ["0", "1", "2", "3", "4", "5"]


def test_message_taken_by_a_dead_connection_comes_after_one_poll(client: redis.Redis, redis_url: str) -> None:
    with Consumer(redis_url) as consumer:
        client.lpush(QUEUE, message(1))
        consumer.drain(1)
        client.lpush(f"{QUEUE}:work", message(2))

        got = consumer.drain(2)

    assert got == ["1", "2"]


def test_closing_keeps_what_is_not_acknowledged(client: redis.Redis, redis_url: str) -> None:
    client.lpush(QUEUE, message(1))
    with Consumer(redis_url, acknowledge=False) as consumer:
        consumer.drain(1)

    with Consumer(redis_url) as consumer:
        got = consumer.drain(1)

    assert got == ["1"]
    assert lists(client) == {}


def test_closing_does_not_wait_for_the_blocked_receive(redis_url: str) -> None:
    consumer = Consumer(redis_url)
    consumer.channel.brpop_timeout = 3600
    consumer.channel.connection.cycle.on_poll_start()
    assert consumer.channel._in_poll

    consumer.close()  # pytest's timeout is the judge

    assert consumer.channel.closed


def test_requeued_message_comes_next(client: redis.Redis, redis_url: str) -> None:
    client.lpush(QUEUE, message(1), message(2))
    with Consumer(redis_url, acknowledge=False) as consumer:
        consumer.drain(1)

        consumer.messages[0].requeue()
        consumer.acknowledge = True

        assert consumer.drain(3) == ["1", "1", "2"]
        assert lists(client) == {}


def test_acknowledgement_that_fails_is_sent_before_the_next_receive(
    client: redis.Redis, redis_server: RedisServer
) -> None:
    client.lpush(QUEUE, message(1))
    with Consumer(redis_server.url, acknowledge=False) as consumer:
        consumer.drain(1)
        client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-lrem"])
        consumer.messages[0].ack()
        client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all", "+lrem"])
        client.lpush(QUEUE, message(2))
        consumer.acknowledge = True

        got = consumer.drain(2)

        assert got == ["1", "2"]
        assert lists(client) == {}


def test_acknowledgement_on_a_closed_channel_is_left_to_recovery(client: redis.Redis, redis_url: str) -> None:
    client.lpush(QUEUE, message(1))
    with Consumer(redis_url, acknowledge=False) as consumer:
        consumer.drain(1)

    consumer.messages[0].ack()

    assert lists(client) == {":work": 1}


def test_refused_receive_is_waited_out_without_a_busy_loop(client: redis.Redis, redis_url: str) -> None:
    client.config_resetstat()
    client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-lmove"])
    with Consumer(redis_url, refused_seconds=1.0) as consumer:
        client.lpush(QUEUE, message(1))
        assert consumer.drain(1) == []
        rejected = client.info("commandstats")["cmdstat_lmove"]["rejected_calls"]

        client.acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all", "+lmove"])

        assert consumer.drain(1) == ["1"]
        assert 1 <= rejected <= 4


def test_one_connection_serves_receiving_acknowledging_and_recovering(client: redis.Redis, redis_url: str) -> None:
    client.lpush(QUEUE, message(1))

    with Consumer(redis_url) as consumer:
        consumer.drain(1)
        others = [c for c in client.client_list() if c["cmd"] != "client|list"]

    assert len(others) == 1
    assert "lib-name" not in others[0] or not others[0]["lib-name"]


def test_second_queue_and_receiving_without_acknowledgement_are_refused(redis_url: str) -> None:
    with Consumer(redis_url) as consumer:
        other = kombu.Queue("node:n2:orders", kombu.Exchange(""), no_declare=True)

        with pytest.raises(ValueError, match="one queue"):
            kombu.Consumer(consumer.channel, [other], no_ack=False).consume()
        with pytest.raises(ValueError, match="with acknowledgements"):
            kombu.Consumer(consumer.channel, [other], no_ack=True).consume()
        with pytest.raises(ValueError, match="by consuming only"):
            consumer.channel.basic_get(QUEUE)
