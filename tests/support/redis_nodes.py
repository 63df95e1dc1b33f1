"""Several nodes' intakes round one Redis, and the controller that sends them orders: the stage of the fault tests."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.embedded_redis import RedisServer
from shared.celery_app import controller_app, publish_orders
from shared.messages import Order
from shared.queues import orders_queue
from shared.signing import Signer, public_to_text
from shared.states import OrderKind
from tests.support.figures import state
from tests.support.redis_proxy import Proxy

_ROOT = Path(__file__).parents[2]
#: Seconds for anything that must happen; a loaded machine is slow.
PATIENCE = 120.0


def wait_until(what: str, condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Look at an outside process until ``condition`` holds; fail after ``patience`` seconds."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"not within {patience:.0f} s: {what}"
        time.sleep(0.02)


def new_order(node_id: str, number: int) -> Order:
    """Return an order for ``node_id`` whose id and sequence number are made of ``number``."""
    issued = datetime.now(UTC)
    return Order(id=f"order-{number}", kind=OrderKind.ROLLBACK, node_id=node_id, seq=number, issued_at=issued)


class Node:
    """One node's intake process and what it has written down. ``url`` is where it finds Redis."""

    def __init__(self, node_id: str, url: str, folder: Path, signer: Signer, options: dict[str, Any]) -> None:
        self.id, self.url, self.folder, self._options = node_id, url, folder, options
        folder.mkdir()
        (folder / "orders.pub").write_text(public_to_text(signer.key.public_key()))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it need not be ready when this returns."""
        command = [sys.executable, "-m", "tests.support.redis_worker", self.id, self.url, str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, json.dumps(self._options)], cwd=_ROOT, stdout=log, stderr=log, stdin=subprocess.PIPE
            )

    def send(self, sign: int) -> None:
        """Send the process a signal."""
        assert self.process
        self.process.send_signal(sign)

    def end(self, sign: int = signal.SIGKILL) -> int:
        """End the process by a signal and return its exit status."""
        self.send(sign)
        assert self.process
        self.process.wait(PATIENCE)
        self.process.communicate()
        return self.process.returncode

    def close(self) -> None:
        """End the process if it still runs."""
        if self.process and self.process.poll() is None:
            self.end()

    def lines(self, name: str) -> list[str]:
        """Return what it has written to ``taken``, ``duplicates``, ``refused`` or ``attempts``."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


class Stage:
    """A Redis on TCP, nodes that reach it through proxies, and a controller that reaches it directly."""

    def __init__(self, server: RedisServer, folder: Path, count: int, options: dict[str, Any]) -> None:
        self.server = server
        self.signer = Signer("controller", Ed25519PrivateKey.generate())
        self.app = controller_app(server.url)
        self._sent = 0
        self.proxies = [Proxy(server.port) for _ in range(count)]
        self.nodes = [
            Node(f"n{i}", proxy.url, folder / f"n{i}", self.signer, options) for i, proxy in enumerate(self.proxies)
        ]

    def redis(self) -> redis.Redis:
        """Return a client of the controller's side."""
        return self.server.client()

    def send(self) -> dict[str, str]:
        """Send one order to each node; return the ids by node."""
        orders = {}
        for node in self.nodes:
            self._sent += 1
            orders[node.id] = new_order(node.id, self._sent)
        publish_orders(self.app, [(node_id, o.id, self.signer.seal(o)) for node_id, o in orders.items()])
        return {node_id: order.id for node_id, order in orders.items()}

    def missing(self, ids: dict[str, str]) -> list[str]:
        """Return those of ``ids`` that their node has not taken."""
        return [ids[node.id] for node in self.nodes if ids[node.id] not in node.lines("taken")]

    def wait_taken(self, ids: dict[str, str], patience: float = PATIENCE) -> None:
        """Wait until each node has taken its order."""
        wait_until(f"{ids} taken", lambda: not self.missing(ids), patience)

    def blocked(self) -> set[str]:
        """Return the ids of the connections that Redis has blocked in a receive."""
        with self.redis() as client:
            return {c["id"] for c in client.client_list() if c["cmd"] in ("blmove", "brpop") and "b" in c["flags"]}

    def wait_blocked(self, count: int) -> set[str]:
        """Wait until exactly ``count`` connections are blocked in a receive; return their ids."""
        wait_until(f"{count} blocked receives", lambda: len(self.blocked()) == count)
        return self.blocked()

    def reconnect(self, connections: set[str]) -> None:
        """Have Redis end ``connections``; wait until as many new ones are blocked in a receive."""
        blocked = len(self.blocked())
        with self.redis() as client:
            for connection in connections:
                client.client_kill_filter(_id=connection)
        wait_until("the workers are back", lambda: len(self.blocked() - connections) == blocked)

    def lengths(self, *suffixes: str) -> list[int]:
        """Return the length of the list with each of ``suffixes`` beside each node's queue, all at one instant.

        One instant, because a message that moves from one list to the other between two looks would seem lost.
        """
        with self.redis() as client, client.pipeline(transaction=True) as pipe:
            for node in self.nodes:
                for suffix in suffixes:
                    pipe.llen(orders_queue(node.id) + suffix)
            return [int(length) for length in pipe.execute()]

    def report(self, fault: str, cases: int, lost: int, deaf: int = 0) -> None:
        """State what came of ``cases`` faults, among the figures at the end of the run."""
        duplicates = sum(len(node.lines("duplicates")) for node in self.nodes)
        state(f"{fault}: {cases} cases, {lost} lost, {deaf} deaf, {duplicates} duplicates absorbed")

    def close(self) -> None:
        """End every process and connection."""
        for node in self.nodes:
            node.close()
        for proxy in self.proxies:
            with proxy:
                pass


@contextlib.contextmanager
def stage(folder: Path, count: int, **options: object) -> Iterator[Stage]:
    """Set up a stage with ``count`` running nodes on a Redis that loses nothing by itself."""
    with RedisServer(tcp=True, args=["--appendonly", "yes", "--appendfsync", "always"]) as server:
        made = Stage(server, folder, count, {"reconnect_spread": 0.2, **options})
        try:
            for node in made.nodes:
                node.start()
            made.wait_blocked(count)
            yield made
        finally:
            made.close()
