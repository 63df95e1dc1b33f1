"""No order is lost, however connections die; stock kombu, run the same way, loses some.

Each fault is done to five node processes at once, ten times over: 50 cases. Redis writes its append-only file at every
command, so it loses nothing itself. Counts are among the figures at the end of the run.
"""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import kombu
import pytest

from shared.queues import orders_queue
from tests.support.redis_nodes import PATIENCE, Stage, stage, wait_until

NODES = 5
ROUNDS = 10
#: Stock kombu fails at once or not at all: this many rounds show it.
STOCK_ROUNDS = 2


def _silent_death(scene: Stage, rounds: int) -> tuple[int, int]:
    # The node's end is gone, Redis does not know, and hands the order to it. Then the node is back.
    swallowed = lost = 0
    for _ in range(rounds):
        scene.wait_blocked(NODES)
        for proxy in scene.proxies:
            proxy.freeze()
        ids = scene.send()
        swallowed += scene.lengths("").count(0)
        for proxy in scene.proxies:
            proxy.reset_clients()
        scene.wait_blocked(NODES)
        scene.wait_taken(scene.send())
        lost += len(scene.missing(ids))
        for proxy in scene.proxies:
            proxy.drop(frozen_only=True)
    return swallowed, lost


@contextmanager
def _old_connections(scene: Stage, scheme: str) -> Iterator[list[socket.socket]]:
    # The library's own receive, sent by a worker that never reads the answer.
    url = scene.server.url.replace("redis://", f"{scheme}://")
    with ExitStack() as stack:
        receivers = []
        for node in scene.nodes:
            options = {"polling_interval": 60, "priority_steps": [0]}
            connection = stack.enter_context(kombu.Connection(url, transport_options=options))
            name = orders_queue(node.id)
            queue = kombu.Queue(name, kombu.Exchange(""), name, no_declare=True)
            channel: Any = connection.channel()
            kombu.Consumer(channel, [queue], on_message=lambda _message: None).consume()
            channel.connection.cycle.on_poll_start()
            receivers.append(channel.client.connection._sock)
            stack.callback(channel.client.connection.disconnect)
        yield receivers


def _still_blocked(scene: Stage, rounds: int, scheme: str) -> tuple[int, int]:
    # A connection from before the restart is first in Redis' line of waiting receivers.
    swallowed = lost = 0
    for _ in range(rounds):
        before = scene.wait_blocked(NODES)
        with _old_connections(scene, scheme) as old:
            scene.wait_blocked(2 * NODES)
            scene.reconnect(before)
            ids = scene.send()
            for receiver in old:
                readable, *_ = select.select([receiver], [], [], PATIENCE)
                swallowed += len(readable)
            scene.wait_taken(scene.send())
            lost += _lost(scene, ids)
    return swallowed, lost


def _lost(scene: Stage, ids: dict[str, str]) -> int:
    # Lost is: not taken, and in no list from which anybody could still take it.
    def settled() -> bool:
        return not scene.missing(ids) or not any(scene.lengths("", ":work"))

    wait_until("every order is taken or nowhere", settled)
    return len(scene.missing(ids))


@pytest.mark.slow
def test_orders_to_a_silently_dead_node_are_not_lost(tmp_path: Path) -> None:
    with stage(tmp_path, NODES, polling_interval=60) as scene:
        swallowed, lost = _silent_death(scene, ROUNDS)

        scene.report("node dead, connection open", swallowed, lost)
        assert (swallowed, lost) == (NODES * ROUNDS, 0)


@pytest.mark.slow
def test_stock_kombu_loses_orders_to_a_silently_dead_node(tmp_path: Path) -> None:
    with stage(tmp_path, NODES, polling_interval=60, stock=True) as scene:
        swallowed, lost = _silent_death(scene, STOCK_ROUNDS)

        scene.report("stock: node dead, connection open", swallowed, lost)
        assert lost > 0


@pytest.mark.slow
def test_order_taken_by_an_old_blocked_connection_is_recovered(tmp_path: Path) -> None:
    with stage(tmp_path, NODES, polling_interval=1) as scene:
        swallowed, lost = _still_blocked(scene, ROUNDS, "fleet")

        scene.report("old connection still blocked", swallowed, lost)
        assert (swallowed, lost) == (NODES * ROUNDS, 0)


@pytest.mark.slow
def test_stock_kombu_loses_what_an_old_blocked_connection_takes(tmp_path: Path) -> None:
    with stage(tmp_path, NODES, polling_interval=1, stock=True) as scene:
        swallowed, lost = _still_blocked(scene, STOCK_ROUNDS, "redis")

        scene.report("stock: old connection still blocked", swallowed, lost)
        assert lost > 0


@pytest.mark.slow
def test_frozen_and_killed_processes_lose_nothing(tmp_path: Path) -> None:
    with stage(tmp_path, NODES, polling_interval=60) as scene:
        swallowed = lost = 0
        for _ in range(ROUNDS):
            scene.wait_blocked(NODES)
            for node in scene.nodes:
                node.send(signal.SIGSTOP)
            ids = scene.send()
            swallowed += sum(scene.lengths(":work"))
            for node in scene.nodes:
                node.end()
                node.start()
            lost += _lost(scene, ids)

        scene.report("process frozen, then killed -9", swallowed, lost)
        assert (swallowed, lost) == (NODES * ROUNDS, 0)


@pytest.mark.slow
def test_node_notices_by_itself_that_its_connection_is_dead(tmp_path: Path) -> None:
    with stage(tmp_path, NODES, polling_interval=1, health_check_interval=1, socket_timeout=2) as scene:
        for proxy in scene.proxies:
            proxy.freeze()

        scene.wait_taken(scene.send())

        scene.report("connection dead, nobody says so", NODES, 0)
