"""What nobody can read leaves the queue for a short list, once, and never stops what comes after it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.local.embedded_redis import RedisServer
from shared.celery_message import decode_message, read_message, write_message
from shared.errors import EnvelopeError
from shared.transport import DEAD_LIMIT
from tests.support.redis_consumer import QUEUE, Consumer, lists, message


def _changed(**parts: object) -> bytes:
    return json.dumps(json.loads(message(0)) | parts).encode()


GARBAGE = {
    "empty": b"",
    "not utf-8": b"\xff\xfe\x00",
    "not json": b"order",
    "json, no object": b"[1, 2]",
    "nested too deep": b"[" * 100_000,
    "no headers": b"{}",
    "headers null": _changed(headers=None),
    "task unhashable": _changed(headers={"task": {}, "id": "1"}),
    "id a number": _changed(headers={"task": "matic.order", "id": 1}),
    "no delivery tag": _changed(properties={}),
    "a date to start": _changed(headers={"task": "matic.order", "id": "1", "eta": "2099-01-01T00:00:00"}),
    "a date to expire": _changed(headers={"task": "matic.order", "id": "1", "expires": "2099-01-01T00:00:00"}),
    "body null": _changed(body=None),
    "body not base64": _changed(body="*"),
    "unknown encoding": _changed(properties={"delivery_tag": "t", "body_encoding": "rot13"}),
}


@pytest.mark.parametrize("raw", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_buried_and_the_next_message_comes(redis_server: RedisServer, raw: bytes) -> None:
    with redis_server.client() as client, Consumer(redis_server.url) as consumer:
        client.lpush(QUEUE, raw, message(1))

        got = consumer.drain(1)

        assert got == ["1"]
        assert client.lrange(f"{QUEUE}:dead", 0, -1) == [raw]
        assert lists(client) == {":dead": 1}


def test_message_that_breaks_its_receiver_is_buried(redis_server: RedisServer) -> None:
    class Breaking(Consumer):
        def _receive(self, received: Any) -> None:
            if received.headers["id"] == "0":
                raise KeyError("what a bug may raise, and what kombu takes for a lost connection")
            super()._receive(received)

    with redis_server.client() as client, Breaking(redis_server.url) as consumer:
        client.lpush(QUEUE, message(0), message(1))

        got = consumer.drain(1)

        assert got == ["1"]
        assert lists(client) == {":dead": 1}


def test_dead_list_keeps_the_newest(redis_server: RedisServer) -> None:
    with redis_server.client() as client, Consumer(redis_server.url) as consumer:
        client.lpush(QUEUE, *[b"garbage %d" % n for n in range(DEAD_LIMIT + 5)], message(1))

        consumer.drain(1)

        dead = client.lrange(f"{QUEUE}:dead", 0, -1)
        assert dead == [b"garbage %d" % n for n in range(5, DEAD_LIMIT + 5)]


def test_written_message_is_read_back() -> None:
    raw = write_message("matic.event", "id-1", [{"payload": "ä"}], "controller:events")

    assert decode_message(raw) == [{"payload": "ä"}]
    assert read_message(raw)["headers"]["id"] == "id-1"


@pytest.mark.parametrize(
    "body", ["W10=", "bnVsbA==", "e30=", "/w==", "W251bGwsIHt9LCB7fV0="], ids=["[]", "null", "{}", "byte", "[null,..]"]
)
def test_message_with_another_body_is_refused(body: str) -> None:
    with pytest.raises(EnvelopeError, match="cannot read body"):
        decode_message(_changed(body=body))
