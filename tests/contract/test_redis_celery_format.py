"""The messages that nodes write by hand are Celery's own: same parts as kombu's, and Celery's worker reads them."""

from __future__ import annotations

import json
from typing import Any

import kombu
import pytest
import redis

from deploy.local.embedded_redis import RedisServer
from shared.celery_app import broker_url, controller_app, decode_message, publish_orders, push_events, redis_client
from shared.celery_message import write_message
from shared.errors import InputError, TransportError
from shared.queues import EVENTS_QUEUE, ORDER_TASK, orders_queue

ENVELOPE = {"v": 1, "payload": "ä", "signature": "s"}


def _parts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _parts(part) for key, part in value.items()}
    return value if isinstance(value, bool | None) else type(value).__name__


def test_written_message_has_the_parts_of_a_published_one(redis_server: RedisServer) -> None:
    publish_orders(controller_app(redis_server.url), [("n1", "id-1", ENVELOPE)])
    with redis_server.client() as client:
        published = client.rpop(orders_queue("n1"))
    assert isinstance(published, bytes)

    written = write_message(ORDER_TASK, "id-1", [ENVELOPE], orders_queue("n1"))

    theirs, ours = json.loads(published), json.loads(written)
    theirs["headers"]["origin"] = None  # the name of the publishing process: ours gives none
    assert _parts(ours) == _parts(theirs)
    assert decode_message(published) == decode_message(written) == [ENVELOPE]


def test_stock_kombu_reads_what_a_node_pushes_in_order(redis_server: RedisServer) -> None:
    with redis_client(redis_server.url) as client:
        push_events(client, [("e1", ENVELOPE), ("e2", ENVELOPE)])

    got: list[tuple[str, Any]] = []
    url = redis_server.url.replace("unix://", "redis+socket://")
    with kombu.Connection(url, transport_options={"polling_interval": 1}) as connection:
        queue = kombu.Queue(EVENTS_QUEUE, kombu.Exchange(""), EVENTS_QUEUE, no_declare=True)
        with kombu.Consumer(
            connection.channel(), [queue], on_message=lambda m: got.append((m.headers["id"], m.payload)), no_ack=True
        ):
            while len(got) < 2:
                connection.drain_events(timeout=10)

    assert [(event_id, body[0]) for event_id, body in got] == [("e1", [ENVELOPE]), ("e2", [ENVELOPE])]


def test_publishing_leaves_nothing_but_the_messages(redis_server: RedisServer) -> None:
    count = publish_orders(controller_app(redis_server.url), [(f"n{n}", f"id-{n}", ENVELOPE) for n in range(2500)])

    with redis_server.client() as client:
        keys = {key.decode() for key in client.keys("*") if isinstance(key, bytes)}
    assert count == 2500
    assert keys == {orders_queue(f"n{n}") for n in range(2500)}


def test_absent_redis_is_a_retriable_error(redis_server: RedisServer) -> None:
    redis_server.stop()

    with pytest.raises(TransportError, match="cannot publish orders") as orders:
        publish_orders(controller_app(redis_server.url), [("n1", "id-1", ENVELOPE)])
    with redis_client(redis_server.url) as client, pytest.raises(TransportError, match="cannot push events"):
        push_events(client, [("e1", ENVELOPE)])

    assert orders.value.retriable


def test_refused_batch_is_an_error(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(orders_queue("n1"), "not a list")

    with pytest.raises(TransportError, match="cannot publish orders"):
        publish_orders(controller_app(redis_server.url), [("n1", "id-1", ENVELOPE)])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("redis://u:p%40@host:1/2", "fleet://u:p%40@host:1/2"),
        ("rediss://host/0?ssl_ca_certs=/ca", "fleets://host/0?ssl_ca_certs=/ca"),
        ("unix:///run/r.sock", "fleet+socket:///run/r.sock"),
        ("unix://u:p@/run/r.sock?db=3", "fleet+socket://u:p@/run/r.sock?virtual_host=3"),
    ],
    ids=["tcp", "tls", "unix", "unix-db"],
)
def test_address_becomes_kombus(given: str, expected: str) -> None:
    assert broker_url(given) == expected


@pytest.mark.parametrize("given", ["", "host:6379", "amqp://user:secret@host"], ids=["empty", "bare", "amqp"])
def test_other_address_is_refused_without_its_secret(given: str) -> None:
    with pytest.raises(InputError) as refused:
        broker_url(given)

    assert "secret" not in str(refused.value)
    assert refused.value.cure


def test_database_number_of_a_unix_address_is_used(redis_server: RedisServer) -> None:
    url = f"{redis_server.url}?db=3"

    publish_orders(controller_app(url), [("n1", "id-1", ENVELOPE)])

    with redis.Redis.from_url(url) as client:
        assert client.llen(orders_queue("n1")) == 1
