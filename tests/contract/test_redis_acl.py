"""A node's Redis account: the whole worker runs on seven commands, and reaches nothing of anybody else's."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.embedded_redis import RedisServer
from shared.celery_app import controller_app, decode_message, publish_orders, push_events, redis_client
from shared.queues import EVENTS_QUEUE, dead_list, orders_queue
from shared.signing import Signer
from tests.support.redis_nodes import Node, new_order, wait_until

PASSWORD = "one node's"  # noqa: S105 - of a test


def _account(client: redis.Redis, node_id: str) -> None:
    rules = "reset on #{} resetkeys resetchannels -@all ~node:{}:* +ping +blmove +lmove +lrem +rpush +multi +exec"
    secret = hashlib.sha256(PASSWORD.encode()).hexdigest()
    selector = f"(%W~{EVENTS_QUEUE} -@all +lpush)"
    client.execute_command("ACL", "SETUSER", f"n.{node_id}", *rules.format(secret, node_id).split(), selector)  # type: ignore[no-untyped-call]


def _url(server: RedisServer, node_id: str) -> str:
    return server.url.replace("redis://", f"redis://n.{node_id}:{PASSWORD.replace(' ', '%20')}@")


def test_worker_lives_on_its_account_alone(tmp_path: Path) -> None:
    signer = Signer("controller", Ed25519PrivateKey.generate())
    with RedisServer(tcp=True) as server, server.client() as client, ExitStack() as stack:
        _account(client, "n1")
        app = controller_app(server.url)
        node = Node("n1", _url(server, "n1"), tmp_path / "n1", signer, {"polling_interval": 1})
        orders = [new_order("n1", number) for number in range(1, 4)]
        publish_orders(app, [("n1", o.id, signer.seal(o)) for o in orders[:1]])
        client.lmove(orders_queue("n1"), orders_queue("n1") + ":work", "RIGHT", "LEFT")
        client.lpush(orders_queue("n1"), *[b"garbage %d" % n for n in range(150)])
        publish_orders(app, [("n1", o.id, signer.seal(o)) for o in orders[1:]])

        stack.callback(node.close)
        node.start()
        wait_until("all orders are taken", lambda: len(node.lines("taken")) == len(orders))
        with redis_client(node.url) as own:
            push_events(own, [("event-1", {"a": 1})])
        client.acl_setuser("n.n1", enabled=False)
        client.client_kill_filter(user="n.n1")
        client.acl_setuser("n.n1", enabled=True)
        orders.append(new_order("n1", 4))
        publish_orders(app, [("n1", orders[3].id, signer.seal(orders[3]))])
        wait_until("the worker is back", lambda: len(node.lines("taken")) == len(orders))

        assert node.lines("taken") == [o.id for o in orders], "the recovered one first"
        assert client.llen(dead_list(orders_queue("n1"))) == 100
        assert decode_message(client.rpop(EVENTS_QUEUE)) == [{"a": 1}]
        assert [entry for entry in client.acl_log() if entry["reason"] != "auth"] == [], "nothing was refused"
        assert node.end(15) == 0


FOREIGN = [
    "LMOVE node:n2:orders node:n1:orders LEFT LEFT",
    "BLMOVE node:n2:orders node:n2:orders:work RIGHT LEFT 1",
    "RPUSH node:n2:orders x",
    "LREM node:n2:orders:work 1 x",
    f"LMOVE {EVENTS_QUEUE} node:n1:orders LEFT LEFT",
    f"RPUSH {EVENTS_QUEUE} x",
    "LPUSH node:n2:orders x",
    "LRANGE node:n1:orders 0 -1",
    "DEL node:n1:orders",
    "KEYS *",
    "FLUSHALL",
    "CONFIG GET *",
    "CLIENT LIST",
    "ACL LIST",
    "EVAL return 0",
    "SUBSCRIBE x",
    "PUBLISH x y",
]


@pytest.mark.parametrize("command", FOREIGN, ids=lambda command: command.partition(" ")[0])
def test_account_reaches_nothing_else(command: str) -> None:
    with RedisServer(tcp=True) as server, server.client() as client:
        _account(client, "n1")
        client.lpush("node:n2:orders", "secret")
        client.lpush(EVENTS_QUEUE, "event")

        with redis_client(_url(server, "n1")) as own, pytest.raises(redis.exceptions.NoPermissionError):
            own.execute_command(*command.split())
