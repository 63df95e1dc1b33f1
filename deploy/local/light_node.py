"""Light nodes: hundreds in one process, for runs at scale. The real executor's core on simulated machines.

The same runner, desk, journal and machine; the same signed envelopes on the same queues, received in the same
at-least-once way (into ``queue:work``, removed when taken); the same events, numbered and signed by each node. Not
there: processes, disks, TLS, the node's own API. Contract tests compare what both report.

One thread does everything: it polls all queues in one pipeline, advances the nodes that have something to do, and
pushes events in batches. State lives in memory and ends with the process.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import redis
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from deploy.local.simulated import MemoryFile, SimulatedMachine, simulated_ports
from node_executor.agent import agent_version
from node_executor.clock import SystemClock
from node_executor.desk import Desk
from node_executor.intake import Intake
from node_executor.journal import Journal
from node_executor.rollback import RollbackBook
from node_executor.runner import Runner
from node_executor.state import NodeConfig, NodeState
from shared.celery_app import push_events, redis_client
from shared.celery_message import decode_message
from shared.errors import EnvelopeError, FleetError, TransportError
from shared.messages import Event, Order
from shared.queues import orders_queue, work_list
from shared.signing import Signer

log = structlog.get_logger(__name__)

#: Seconds between two looks at all queues.
POLL_SECONDS = 0.2
#: Seconds until a Redis that does not answer is tried again.
_RETRY_SECONDS = 1.0
#: Events that one command to Redis carries.
_BATCH = 500

Sealed = tuple[str, dict[str, Any]]


class LightNode:
    """One node in memory. Survives its own reboots, not the process."""

    def __init__(self, signer: Signer, outbox: list[Sealed], machine: SimulatedMachine | None = None) -> None:
        """Start the node's executor; its events go to ``outbox``, sealed by ``signer``."""
        self.machine = machine or SimulatedMachine()
        self.node_id = signer.key_id
        self._signer, self._outbox = signer, outbox
        self._numbers = itertools.count(1)
        self._journal, self._book = MemoryFile("update-schedule.json"), MemoryFile("rollback_state.json")
        self._start_executor()

    def _start_executor(self) -> None:
        self.state = NodeState(
            config=NodeConfig(node_id=self.node_id, agent_version=agent_version()),
            ports=simulated_ports(self.machine),
            journal=Journal(self._journal),
            book=RollbackBook(self._book),
            report=self._report,
            clock=SystemClock(),
        )
        self.desk = Desk(self.state)
        self._runner = Runner(self.state)
        self._runner.start()

    def _report(self, event: Event) -> None:
        sealed = self._signer.seal(event.model_copy(update={"seq": next(self._numbers)}))
        self._outbox.append((event.id, sealed))

    def take(self, order: Order) -> None:
        """See ``Desk.take``; each boot has a desk of its own."""
        self.desk.take(order)

    def refuse(self, error: FleetError, raw: object) -> None:
        """See ``Desk.refuse``."""
        self.desk.refuse(error, raw)

    def advance(self) -> float | None:
        """Do all that can be done now, through reboots; return the seconds until there is more, or None."""
        while True:
            rest = self._runner.advance()
            if not self.machine.reboot_requested:
                return rest
            self.machine.boot()
            self._start_executor()


class LightFleet:
    """Many light nodes on one Redis, in one thread. ``start``, then ``stop``."""

    def __init__(
        self,
        redis_url: str,
        orders_key: Ed25519PublicKey,
        signers: Mapping[str, Signer],
        *,
        machine_of: Callable[[str], SimulatedMachine] = lambda _: SimulatedMachine(),
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Prepare one node for each signer, by node id; nothing is sent before ``start``."""
        self._redis = redis_client(redis_url)
        self._poll_seconds = poll_seconds
        self._outbox: list[Sealed] = []
        self._stop = threading.Event()
        self._due: list[tuple[float, str]] = []
        self.nodes = {name: LightNode(signer, self._outbox, machine_of(name)) for name, signer in signers.items()}
        self._intakes = {
            name: Intake(node_id=name, key=orders_key, take=node.take, refuse=node.refuse, stop=self._stop)
            for name, node in self.nodes.items()
        }
        self._thread = threading.Thread(target=self._live, name="light-fleet", daemon=True)

    def start(self) -> None:
        """Switch all nodes on."""
        self._thread.start()

    def stop(self) -> None:
        """Switch all nodes off; what was taken and not done is forgotten."""
        self._stop.set()
        self._thread.join()
        self._redis.close()

    def _live(self) -> None:
        for name in self.nodes:
            heapq.heappush(self._due, (0.0, name))
        recovered = False
        while not self._stop.is_set():
            self._advance_due()
            try:
                recovered = recovered or self._recover()
                self._push()
                self._receive()
                self._push()
            except (redis.RedisError, TransportError, OSError) as error:
                log.warning("cannot reach Redis", error=str(error))
                recovered = False
                self._stop.wait(_RETRY_SECONDS)
            else:
                self._stop.wait(self._poll_seconds)

    def _advance_due(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now and not self._stop.is_set():
            self._advance(heapq.heappop(self._due)[1])

    def _advance(self, name: str) -> None:
        rest = self.nodes[name].advance()
        if rest is not None:
            heapq.heappush(self._due, (time.monotonic() + rest, name))

    def _recover(self) -> bool:
        """Put back what an earlier life had received and not taken."""
        for name in self.nodes:
            queue = orders_queue(name)
            while self._redis.lmove(work_list(queue), queue, "LEFT", "RIGHT"):
                pass
        return True

    def _receive(self) -> None:
        """Take one message from each queue that has one, until all are empty."""
        names = list(self.nodes)
        while names and not self._stop.is_set():
            with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.lmove(orders_queue(name), work_list(orders_queue(name)), "RIGHT", "LEFT")
                found = [(name, raw) for name, raw in zip(names, pipe.execute(), strict=True) if raw]
            for name, raw in found:
                self._take(name, raw)
            with self._redis.pipeline(transaction=False) as pipe:
                for name, raw in found:
                    pipe.lrem(work_list(orders_queue(name)), 1, raw)
                pipe.execute()
            for name, _ in found:
                self._advance(name)
            names = [name for name, _ in found]

    def _take(self, name: str, raw: bytes) -> None:
        try:
            arguments = decode_message(raw)
        except EnvelopeError as error:
            self.nodes[name].refuse(error, None)
            return
        self._intakes[name].receive(arguments, {})

    def _push(self) -> None:
        while self._outbox:
            batch = self._outbox[:_BATCH]
            push_events(self._redis, batch)
            del self._outbox[: len(batch)]
