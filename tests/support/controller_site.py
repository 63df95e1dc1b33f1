"""Controllers as processes of their own, and nodes that are only a queue and a signature."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.fleet import free_ports
from deploy.local.service import Service
from deploy.local.waiting import wait_until
from shared.celery_app import decode_message, push_events, redis_client
from shared.messages import Event, NodeFacts, Order, new_id
from shared.pki import DevelopmentCa
from shared.proto import common_pb2
from shared.proto import fleet_pb2 as pb
from shared.proto.fleet_pb2_grpc import FleetServiceStub
from shared.queues import orders_queue
from shared.signing import Signer, open_order, public_from_text, public_to_text
from shared.slots import Slot
from shared.states import EventKind, OrderKind, ScheduleState
from shared.tls import TlsFiles, open_channel

#: Quick looks, for tests that wait.
INTERVALS = {"tick": 0.1, "dispatch": 0.1, "claim": 1.0, "lease": 1.0, "longest_lease": 2.0, "silence": 2.0,
             "ingest_lease": 2.0, "rollout_lease": 2.0}  # fmt: skip


@dataclass
class Site:
    """A folder with certificates and settings; its parts are started by name."""

    folder: Path
    database_url: str
    redis_url: str
    services: dict[str, Service] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write certificates and settings."""
        ca = DevelopmentCa.ensure(self.folder / "ca")
        self.admin: TlsFiles = ca.issue("user", "admin")
        ca.issue("controller", "controller")
        self.orders_key = public_from_text((self.folder / "ca/orders.pub").read_text())
        self.port, self.metrics_port = free_ports(2)
        self.address = f"127.0.0.1:{self.port}"
        self.config = self.folder / "controller.toml"
        self.configure()

    def configure(self, **changes: object) -> None:
        """Write the settings, with ``changes``."""
        values = {
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "listen": self.address,
            "tls_dir": str(self.folder / "ca/controller-controller"),
        } | changes
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        lines += ["[intervals]", *(f"{name} = {value}" for name, value in INTERVALS.items())]
        self.config.write_text("\n".join(lines))

    def command(self, *words: str) -> list[str]:
        """Return the command line of ``matic-controller`` with these words."""
        return [sys.executable, "-m", "controller.main", *words]

    def start(self, part: str) -> Service:
        """Start ``serve`` or one part alone; one that runs already gets a twin."""
        name = f"{part}-{len(self.services)}"
        service = Service(self.command(part, "--config", str(self.config)), log=self.folder / f"{name}.log")
        self.services[name] = service
        service.start()
        return service

    def stop(self) -> None:
        """End all parts."""
        for service in self.services.values():
            service.stop()

    @contextmanager
    def api(self) -> Iterator[FleetServiceStub]:
        """Return the fleet's calls, as an administrator makes them."""
        with open_channel(self.address, self.admin) as channel:
            yield FleetServiceStub(channel)

    def wait_for_api(self) -> None:
        """Return when the API answers.

        Raises:
            TimeoutError: it does not; the message holds the logs.
        """
        with self.api() as api:
            try:
                api.GetVersion(pb.GetVersionRequest(), timeout=60, wait_for_ready=True)
            except grpc.RpcError as error:
                words = "\n".join(service.last_words() for service in self.services.values())
                raise TimeoutError(f"the API does not answer: {error}\n{words}") from error


class Node:
    """A node that completes every update at once; what happens in between is others' to test."""

    def __init__(self, site: Site, node_id: str) -> None:
        self.id = node_id
        self.taken: list[Order] = []
        self._site = site
        self._signer = Signer(node_id, Ed25519PrivateKey.generate())
        self._seq = itertools.count(1)
        self._redis: Any = redis_client(site.redis_url)

    def register(self, api: FleetServiceStub) -> None:
        """Make the node known to the controller."""
        key = public_to_text(self._signer.key.public_key())
        api.RegisterNode(pb.RegisterNodeRequest(id=self.id, event_key=key))

    def work(self) -> bool:
        """Take the next order, if there is one, and report that it is done; False if there is none."""
        raw = self._redis.rpop(orders_queue(self.id))
        if raw is None:
            return False
        order = open_order(decode_message(raw)[0], self._site.orders_key)
        if order.kind is OrderKind.UPDATE:
            self.taken.append(order)
            version = order.update.image.version if order.update else ""
            facts = NodeFacts(slot=Slot.B, version=version, boot_id=new_id(), agent_version="0")
            self._tell(order, EventKind.ACCEPTED)
            self._tell(order, EventKind.OUTCOME, state=ScheduleState.COMPLETED, facts=facts)
        return True

    def _tell(self, order: Order, kind: EventKind, **values: Any) -> None:
        told = Event(
            id=new_id(),
            kind=kind,
            node_id=self.id,
            seq=next(self._seq),
            at=datetime.now(UTC),
            order_id=order.id,
            rollout_id=order.rollout_id,
            **values,
        )
        push_events(self._redis, [(told.id, self._signer.seal(told))])


def create_rollout(api: FleetServiceStub, version: str = "2.0.0") -> str:
    """Start a rollout over all nodes in two waves; return its id."""
    image = common_pb2.Image(source="https://releases.example/os.img", sha256="ab" * 32, size=4096, version=version)
    request = pb.CreateRolloutRequest(
        name=f"to {version}",
        targets=pb.Targets(all=True),
        update=common_pb2.UpdateSpec(image=image, auto_rollback=True),
        policy=pb.Policy(waves=[pb.WavePlan(count=1), pb.WavePlan(percent=100)]),
    )
    return api.CreateRollout(request).rollout.id


def finish(api: FleetServiceStub, rollout_id: str, nodes: list[Node]) -> pb.Rollout:
    """Let the nodes work until the rollout has succeeded; return it.

    Raises:
        TimeoutError: it does not succeed in time.
    """

    def succeeded() -> bool:
        for node in nodes:
            node.work()
        return state() == "succeeded"

    def state() -> str:
        return api.GetRollout(pb.GetRolloutRequest(id=rollout_id)).rollout.state

    wait_until(succeeded, f"rollout {rollout_id}")
    return api.GetRollout(pb.GetRolloutRequest(id=rollout_id)).rollout
