"""How long a fleet waits for its controller: from a node's final report in Redis to the next node's order in Redis.

Run from the checkout: ``.venv/bin/python benchmarks/decision.py [--nodes N]``. A real controller process with a
database in SQLite, a real Redis, and light nodes: the executor's core, without disks. One node at a time is updated, so
each final report makes the controller decide about exactly one next order. Redis itself takes both times: MONITOR
stamps every command as it is carried out. So the figure holds ingesting, verifying, deciding, committing, publishing.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import queue
import statistics
import tempfile
import threading
import time
from pathlib import Path

import redis
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.fleet import FleetPlan, LocalFleet
from deploy.local.light_node import LightFleet
from shared.queues import EVENTS_QUEUE, orders_queue
from shared.signing import Signer, public_from_text, public_to_text

#: Seconds within which the controller must decide, by its requirements.
_BUDGET = 2.0

Pushed = tuple[float, str]


class Watch:
    """The times at which anything was put into a list of this Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self.pushes: list[Pushed] = []
        self._client = client
        self._ready: queue.SimpleQueue[None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="monitor", daemon=True).start()
        self._ready.get(timeout=10)

    def _listen(self) -> None:
        # The connection breaks when Redis ends, and that is the end of the listening.
        with (
            contextlib.suppress(redis.ConnectionError),
            self._client.monitor() as monitor,  # type: ignore[no-untyped-call] # redis-py's
        ):
            self._ready.put(None)
            for heard in monitor.listen():
                words = str(heard["command"]).split(" ", 2)
                if words[0].upper() == "LPUSH":
                    self.pushes.append((float(heard["time"]), words[1]))

    def seconds(self, nodes: list[str]) -> list[float]:
        """Return, for each node's first order but the first of all, the time since the last report before it."""
        queues = {orders_queue(node) for node in nodes}
        found: list[float] = []
        reported: float | None = None
        for at, key in self.pushes:
            if key == EVENTS_QUEUE:
                reported = at
            elif key in queues:
                queues.remove(key)
                if len(queues) < len(nodes) - 1 and reported is not None:
                    found.append(at - reported)
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=40)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    signers = {f"light-{n:03d}": Signer(f"light-{n:03d}", Ed25519PrivateKey.generate()) for n in range(options.nodes)}
    with (
        tempfile.TemporaryDirectory(prefix="fleet-") as folder,
        LocalFleet(Path(folder), FleetPlan(nodes=0, payload_mib=1)) as fleet,
    ):
        for name, signer in signers.items():
            fleet.osctl("node", "add", name, "--event-key", public_to_text(signer.key.public_key()))
        orders_key = public_from_text((fleet.folder / "ca/orders.pub").read_text())
        light = LightFleet(fleet.redis.url, orders_key, signers, poll_seconds=0.02)
        light.start()
        fleet.wait_until(lambda: _reported(fleet, options.nodes), "every node to report")
        watch = Watch(fleet.redis.client(socket_timeout=None))
        release = fleet.build_release("2.0.0")
        began = time.monotonic()
        fleet.osctl(
            "rollout", "create", "--all", "--max-in-flight", "1", "--source", fleet.source(release),
            "--sha256", release.sha256, "--version", "2.0.0", "--wait",
        )  # fmt: skip
        took = time.monotonic() - began
        light.stop()
        _show(sorted(watch.seconds(list(signers))), took)


def _reported(fleet: LocalFleet, count: int) -> bool:
    return sum(bool(node["facts"]) for node in fleet.osctl_json("node", "list")["nodes"]) == count


def _show(seconds: list[float], took: float) -> None:
    p50, p99 = statistics.median(seconds), statistics.quantiles(seconds, n=100, method="inclusive")[98]
    print(f"{len(seconds)} decisions in a rollout of {took:.1f} s, one node at a time")
    print(f"from final report to next order: p50 {p50:.3f} s, p99 {p99:.3f} s, longest {seconds[-1]:.3f} s")
    print(f"share of the {_BUDGET:g} s allowed: p50 {p50 / _BUDGET:.2f}, p99 {p99 / _BUDGET:.2f}")


if __name__ == "__main__":
    main()
