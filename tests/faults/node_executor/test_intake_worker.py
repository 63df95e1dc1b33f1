"""The intake as a real process: what arrives, what is missing, and what is full cannot end it or make it forget."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.embedded_redis import RedisServer
from shared.celery_app import controller_app, publish_orders
from shared.celery_message import write_message
from shared.queues import ORDER_TASK, dead_list, orders_queue, work_list
from shared.signing import Signer
from tests.support.redis_nodes import Node, new_order, wait_until

QUEUE = orders_queue("n1")
SIGNER = Signer("controller", Ed25519PrivateKey.generate())


@pytest.fixture
def node(redis_server: RedisServer, tmp_path: Path) -> Iterator[Node]:
    made = Node("n1", redis_server.url, tmp_path / "n1", SIGNER, {"polling_interval": 1, "reconnect_spread": 0.1})
    yield made
    made.close()


def _send(server: RedisServer, *numbers: int) -> list[str]:
    orders = [new_order("n1", number) for number in numbers]
    publish_orders(controller_app(server.url), [("n1", order.id, SIGNER.seal(order)) for order in orders])
    return [order.id for order in orders]


def _kinds(node: Node) -> list[str]:
    return [json.loads(line)["kind"] for line in node.lines("refused")]


FOREIGN = Signer("controller", Ed25519PrivateKey.generate())
BAD_ARGUMENTS: dict[str, tuple[list[Any], str]] = {
    "no envelope": ([{"a": 1}], "bad_envelope"),
    "nothing": ([], "bad_envelope"),
    "two": ([SIGNER.seal(new_order("n1", 1)), 2], "bad_envelope"),
    "another signer": ([FOREIGN.seal(new_order("n1", 1))], "bad_signature"),
    "another node": ([SIGNER.seal(new_order("n2", 1))], "bad_envelope"),
    "newer schema": ([SIGNER.seal(new_order("n1", 1)) | {"v": 99}], "unknown_schema_version"),
    "changed after signing": ([SIGNER.seal(new_order("n1", 1)) | {"payload": "{}"}], "bad_signature"),
}


def test_bad_orders_are_refused_once_each_with_their_reason(node: Node, redis_server: RedisServer) -> None:
    messages = [write_message(ORDER_TASK, name, args, QUEUE) for name, (args, _) in BAD_ARGUMENTS.items()]
    with redis_server.client() as client:
        client.lpush(QUEUE, *messages)
    good = _send(redis_server, 1)

    node.start()
    wait_until("the good order is taken", lambda: node.lines("taken") == good)

    assert _kinds(node) == [kind for _, kind in BAD_ARGUMENTS.values()]
    assert node.end(signal.SIGTERM) == 0
    with redis_server.client() as client:
        assert client.keys("*") == []


def _message(**headers: object) -> bytes:
    made = json.loads(write_message(ORDER_TASK, "id-1", [SIGNER.seal(new_order("n1", 9))], QUEUE))
    return json.dumps(made | {"headers": made["headers"] | headers}).encode()


POISON = {
    "another task": write_message("other.task", "id-1", [], QUEUE),
    "pickle": json.dumps(json.loads(_message()) | {"content-type": "application/x-python-serialize"}).encode(),
    "time limit of text": _message(timelimit="soon"),
    "retries of text": _message(retries="often"),
    "date of a list": _message(eta=[1]),
    "expiry of a list": _message(expires=[1]),
    "stamps of text": _message(stamps="x", stamped_headers="y"),
    "body not json": json.dumps(json.loads(_message()) | {"body": "*", "properties": {"delivery_tag": "t"}}).encode(),
    "body a number": json.dumps(json.loads(_message()) | {"body": "1", "properties": {"delivery_tag": "t"}}).encode(),
}


def test_poison_for_celery_ends_nothing_and_comes_once(node: Node, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.lpush(QUEUE, *POISON.values())
    good = _send(redis_server, 1)

    node.start()
    wait_until("the good order is taken", lambda: good[0] in node.lines("taken"))

    assert node.end(signal.SIGTERM) == 0
    with redis_server.client() as client:
        assert client.llen(QUEUE) + client.llen(work_list(QUEUE)) == 0
        dead = client.lrange(dead_list(QUEUE), 0, -1)
    assert {POISON["another task"], POISON["pickle"]} <= set(dead)
    assert len(node.lines("taken")) == len(set(node.lines("taken")))


def test_redis_may_be_absent_at_the_start(node: Node, redis_server: RedisServer) -> None:
    redis_server.stop()
    node.start()
    wait_until("it has tried twice", lambda: (node.folder / "log").read_text().count("cannot reach Redis") >= 2)

    redis_server.start()
    sent = _send(redis_server, 1)

    wait_until("the order is taken", lambda: node.lines("taken") == sent)


def test_full_disk_holds_the_order_back_without_a_busy_loop(node: Node, redis_server: RedisServer) -> None:
    (node.folder / "full").touch()
    sent = _send(redis_server, 1, 2)
    node.start()
    wait_until("it has tried thrice", lambda: len(node.lines("attempts")) >= 3)
    with redis_server.client() as client:
        assert [client.llen(QUEUE), client.llen(work_list(QUEUE))] == [1, 1], "not acknowledged"

    (node.folder / "full").unlink()
    wait_until("both are taken", lambda: len(node.lines("taken")) == 2)

    assert node.lines("taken") == sent
    assert set(node.lines("attempts")) == {sent[0]}
    assert len(node.lines("attempts")) < 50


def test_stopping_with_a_full_disk_gives_the_order_back(node: Node, redis_server: RedisServer) -> None:
    (node.folder / "full").touch()
    sent = _send(redis_server, 1, 2)
    node.start()
    wait_until("it tries", lambda: node.lines("attempts"))

    assert node.end(signal.SIGTERM) == 0
    (node.folder / "full").unlink()
    node.start()

    wait_until("both are taken", lambda: len(node.lines("taken")) == 2)
    assert node.lines("taken") == sent


def test_emptied_redis_is_no_matter(node: Node, redis_server: RedisServer) -> None:
    node.start()
    first = _send(redis_server, 1)
    wait_until("the first order is taken", lambda: node.lines("taken") == first)

    redis_server.kill()
    redis_server.start()
    second = _send(redis_server, 2)

    wait_until("the second order is taken", lambda: node.lines("taken") == first + second)
