"""A whole fleet on one machine: CA, Redis, controller, release server and virtual nodes, all real, all in one folder.

Used by the demo, by the end-to-end tests and by the fault tests. It owns what it starts, and nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.local import configuration
from deploy.local.embedded_redis import RedisServer
from deploy.local.images import MIB, Release, build_release
from deploy.local.registry import Registry
from deploy.local.release_server import ReleaseServer
from deploy.local.service import Service
from deploy.local.virtual_node import VirtualNode
from deploy.local.waiting import wait_until
from node_executor.boot.geometry import slot_region
from node_executor.boot.provision import provision_disk
from shared.pki import DevelopmentCa
from shared.proto import fleet_pb2 as pb
from shared.slots import Slot

#: The identity that osctl uses here.
ADMIN = "admin"
_PORTS = range(20000, 32000)


@dataclass(frozen=True, kw_only=True)
class FleetPlan:
    """What to build."""

    nodes: int = 12
    slot_mib: int = 64
    version: str = "1.0.0"  #: what every node runs at first
    broken: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)  #: node -> version -> units
    sites: tuple[str, ...] = ("berlin", "oslo", "turin")  #: label ``site``, given in turn
    payload_mib: int = 6  #: weight of each image
    niceness: int = 0  #: of the executors
    intervals: Mapping[str, float] = field(default_factory=dict)  #: the controller's, where not the default


@dataclass
class LocalFleet:
    """The running fleet. Use as a context manager; everything ends with it."""

    folder: Path
    plan: FleetPlan = field(default_factory=FleetPlan)
    report: Callable[[str], None] = lambda _: None  #: told what is being built, for people

    def __post_init__(self) -> None:
        """Choose addresses; nothing is started yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.redis = RedisServer(self.folder / "redis")
        self.releases = ReleaseServer(self.folder / "releases")
        self.node_ids = [f"node-{n:02d}" for n in range(1, self.plan.nodes + 1)]
        self.nodes: dict[str, VirtualNode] = {}
        ports = free_ports(1 + self.plan.nodes)
        self.controller_address = f"127.0.0.1:{ports[0]}"
        self.node_addresses = {n: f"127.0.0.1:{p}" for n, p in zip(self.node_ids, ports[1:], strict=True)}
        self.controller = Service(
            [str(tool("matic-controller")), "serve", "--config", str(self.folder / "controller.toml")],
            log=self.folder / "controller.log",
        )

    def __enter__(self) -> Self:
        """Start everything; on failure end what was started."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        self.close()

    def start(self) -> None:
        """Start in the order in which an operator would; returns when the controller and all nodes answer."""
        self.report("certificates of a development CA")
        ca = DevelopmentCa.ensure(self.folder / "ca")
        ca.issue("controller", "controller")
        self.controller_tls = ca.folder_of("controller", "controller")
        ca.issue("user", ADMIN)
        self.admin_tls = ca.folder_of("user", ADMIN)
        self.report("a Redis of its own on a unix socket")
        self.redis.start()
        self.releases.start()
        self.report("the controller, with a database in SQLite")
        (self.folder / "controller.toml").write_text(
            configuration.controller(
                folder=self.folder,
                redis_url=self.redis.url,
                listen=self.controller_address,
                tls_dir=self.controller_tls,
                intervals=self.plan.intervals,
            )
        )
        self.controller.start()
        self.osctl("context", "set", "fleet", "--kind", "controller", "--address", self.controller_address,
                   "--tls-dir", str(self.admin_tls))  # fmt: skip
        registry = Registry(self.controller_address, self.admin_tls)
        self.wait_until(registry.answers, "the controller to answer")
        self.report(f"{self.plan.nodes} virtual nodes, each with a GPT disk image of its own")
        template = self._disk_with(self.build_release(self.plan.version))
        for node_id in self.node_ids:
            self._make_node(ca, node_id, template)
        template.unlink()
        registry.add([self._registration(number, node_id) for number, node_id in enumerate(self.node_ids)])
        for node in self.nodes.values():
            node.start()
        self.wait_until(
            lambda: len(registry.versions()) == len(self.nodes),
            "every node to report to the controller",
            patience=60 + 3 * len(self.nodes),
        )

    def close(self) -> None:
        """End everything that was started, the last first; what cannot be ended does not keep the others running."""
        with ExitStack() as endings:
            endings.callback(self.redis.close)
            endings.callback(self.releases.stop)
            endings.callback(self.controller.stop)
            for node in self.nodes.values():
                endings.callback(node.stop)
            for node in self.nodes.values():
                endings.callback(node.switch_off)

    def build_release(self, version: str, *, missing: tuple[str, ...] = ()) -> Release:
        """Build an image and offer it on the release server."""
        return build_release(self.folder / "releases", version, missing=missing, payload_mib=self.plan.payload_mib)

    def source(self, release: Release) -> str:
        """Return the URL of a built image."""
        return f"{self.releases.url}/{release.path.name}"

    def _disk_with(self, release: Release) -> Path:
        disk = self.folder / "template.img"
        provision_disk(disk, slot_size=self.plan.slot_mib * MIB, boot_size=MIB, data_size=MIB, force=True)
        region = slot_region(disk, Slot.A)
        with disk.open("r+b") as file:
            file.seek(region.offset)
            file.write(release.path.read_bytes())
        return disk

    def _make_node(self, ca: DevelopmentCa, node_id: str, template: Path) -> None:
        folder = self.folder / node_id
        folder.mkdir(exist_ok=True)
        ca.issue("node", node_id)
        tls = ca.folder_of("node", node_id)
        subprocess.run(["cp", "--sparse=always", str(template), str(folder / "disk.img")], check=True)
        (folder / "agent.toml").write_text(
            configuration.agent(
                node_id=node_id,
                folder=folder,
                redis_url=self.redis.url,
                listen=self.node_addresses[node_id],
                tls_dir=tls,
            )
        )
        self.nodes[node_id] = VirtualNode(
            node_id, folder, broken=self.plan.broken.get(node_id, {}), niceness=self.plan.niceness
        )

    def _registration(self, number: int, node_id: str) -> pb.RegisterNodeRequest:
        return pb.RegisterNodeRequest(
            id=node_id,
            labels={"site": self.plan.sites[number % len(self.plan.sites)]},
            address=self.node_addresses[node_id],
            event_key=(self.folder / f"ca/node-{node_id}/events.pub").read_text(),
        )

    def wait_until(self, condition: Callable[[], bool], what: str, *, patience: float = 60) -> None:
        """Look until ``condition`` holds.

        Raises:
            TimeoutError: it did not within ``patience`` seconds; the message names ``what``.
        """
        wait_until(condition, what, patience=patience)

    def environment(self) -> dict[str, str]:
        """Return the environment in which ``osctl`` talks to this fleet."""
        bin_folder = str(Path(sys.executable).parent)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OSCTL_")}
        path = f"{bin_folder}:{os.environ.get('PATH', '')}"
        return {**kept, "PATH": path, "OSCTL_CONFIG": str(self.folder / "osctl.json")}

    def try_osctl(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run osctl and return what it said, whatever it said."""
        return subprocess.run(
            [str(tool("osctl")), *arguments],
            capture_output=True,
            text=True,
            env=self.environment(),
            timeout=timeout,
            check=False,
        )

    def osctl(self, *arguments: str) -> str:
        """Run osctl and return its output.

        Raises:
            RuntimeError: it failed; the message holds its words.
        """
        done = self.try_osctl(*arguments)
        if done.returncode != 0:
            raise RuntimeError(
                f"osctl {' '.join(arguments)} ended with {done.returncode}: {done.stderr or done.stdout}"
            )
        return done.stdout

    def osctl_json(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Run osctl with ``-o json`` and return what it printed, parsed."""
        return json.loads(self.osctl(*arguments, "-o", "json"))


def tool(name: str) -> Path:
    """Return a program of this installation.

    Raises:
        FileNotFoundError: it is neither beside the interpreter nor on PATH.
    """
    beside = Path(sys.executable).parent / name
    found = beside if beside.exists() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} is neither beside {sys.executable} nor on PATH: run ./setup")
    return Path(found)


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody listens on at the moment."""
    found: list[int] = []
    # Below the range from which the kernel takes ports for outgoing connections: a node's port must still be free
    # after its reboot. Where to begin depends on the process, so that two fleets seldom meet.
    for step in range(_PORTS.stop - _PORTS.start):
        port = _PORTS.start + (os.getpid() * 131 + step) % (_PORTS.stop - _PORTS.start)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"cannot find {count} free ports between {_PORTS.start} and {_PORTS.stop}")
