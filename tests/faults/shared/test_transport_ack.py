"""Redis dies with an acknowledgement in flight: no order is lost and no worker goes deaf; stock kombu's does.

A proxy holds the acknowledgement, or Redis' answer to it; then Redis is killed -9 and comes back. Five node processes
at once, ten times over: 50 cases. Redis writes its append-only file at every command, so it loses nothing itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.redis_nodes import PATIENCE, Stage, stage, wait_until

NODES = 5
ROUNDS = 10
#: Seconds that stock kombu has to take an order that lies in its queue before it counts as deaf.
DEAF_AFTER = 20.0


def _kill_redis_during_ack(scene: Stage, command: bytes, *, deliver: bool) -> dict[str, str]:
    scene.wait_blocked(NODES)
    for proxy in scene.proxies:
        proxy.trap(command, deliver=deliver)
    ids = scene.send()
    assert all(proxy.trapped.wait(PATIENCE) for proxy in scene.proxies)
    if deliver:
        wait_until("the acknowledgements are done", lambda: not any(scene.lengths(":work")))
    scene.server.kill()
    for proxy in scene.proxies:
        proxy.drop()
    scene.server.start()
    return ids


@pytest.mark.slow
def test_redis_killed_with_an_ack_in_flight_loses_nothing_and_deafens_nobody(tmp_path: Path) -> None:
    with stage(tmp_path, NODES, polling_interval=60) as scene:
        sent: list[dict[str, str]] = []
        for number in range(ROUNDS):
            sent.append(_kill_redis_during_ack(scene, b"LREM", deliver=number % 2 == 1))
            sent.append(scene.send())
            scene.wait_taken(sent[-1])
        scene.wait_blocked(NODES)

        scene.report("Redis killed, ack in flight", NODES * ROUNDS, sum(len(scene.missing(ids)) for ids in sent))
        for node in scene.nodes:
            assert node.lines("taken") == [ids[node.id] for ids in sent], "each order once, in the order of sending"
            assert len(node.lines("duplicates")) == ROUNDS // 2, "each lost acknowledgement is one duplicate"
        assert not any(scene.lengths("", ":work"))


@pytest.mark.slow
def test_stock_kombu_goes_deaf_when_redis_dies_with_an_ack_in_flight(tmp_path: Path) -> None:
    with stage(tmp_path, NODES, polling_interval=1, stock=True) as scene:
        _kill_redis_during_ack(scene, b"HDEL", deliver=False)
        ids = scene.send()
        try:
            scene.wait_taken(ids, DEAF_AFTER)
        except AssertionError:
            deaf = len(scene.missing(ids))
        else:
            deaf = 0

        scene.report("stock: Redis killed, ack in flight", NODES, 0, deaf)
        assert deaf > 0
        assert sum(scene.lengths("")) == deaf, "the orders lie there, and nobody takes them"
