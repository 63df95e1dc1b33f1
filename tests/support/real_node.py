"""One real node on this machine: GPT image, squashfs releases, certificates, firmware, and the executor's process."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc

from deploy.local.fleet import free_ports
from deploy.local.images import MIB, Release, build_release
from deploy.local.virtual_node import VirtualNode
from deploy.local.waiting import wait_until
from node_executor.boot.control import GptBootControl
from node_executor.boot.geometry import slot_region
from node_executor.boot.provision import provision_disk
from shared.messages import UpdateSpec
from shared.pki import DevelopmentCa
from shared.proto import node_pb2, node_pb2_grpc
from shared.slots import Slot, SlotStatus
from shared.tls import TlsFiles, open_channel
from shared.wire import update_to_proto

_SLOT = 8 * MIB
_FINAL = ("Completed", "Failed", "RolledBack", "Cancelled")


@dataclass(frozen=True)
class Workshop:
    """What all nodes of a test session share: a CA, releases, and a disk with the first one in slot A."""

    folder: Path

    @cached_property
    def ca(self) -> DevelopmentCa:
        """A development CA."""
        return DevelopmentCa.ensure(self.folder / "ca")

    @cached_property
    def old(self) -> Release:
        """What nodes run at first."""
        return build_release(self.folder, "1.0.0", payload_mib=2)

    @cached_property
    def new(self) -> Release:
        """A release that works."""
        return build_release(self.folder, "2.0.0", payload_mib=2)

    @cached_property
    def bad(self) -> Release:
        """A release whose service does not start."""
        return build_release(self.folder, "2.0.1", missing=("app.service",), payload_mib=2)

    @cached_property
    def disk(self) -> Path:
        """A disk with the old release in slot A."""
        disk = self.folder / "template.img"
        provision_disk(disk, slot_size=_SLOT, boot_size=MIB, data_size=MIB)
        with disk.open("r+b") as file:
            file.seek(slot_region(disk, Slot.A).offset)
            file.write(self.old.path.read_bytes())
        return disk


class RealNode:
    """A node under supervision. ``hold`` and ``release`` stop the executor at a moment; see ``node_executor.hold``."""

    def __init__(self, workshop: Workshop, folder: Path, *, redis_url: str = "", node_id: str = "node-1") -> None:
        """Lay the node out in ``folder``; it is not switched on yet."""
        self.folder, self.workshop, self.node_id = folder, workshop, node_id
        folder.mkdir(parents=True, exist_ok=True)
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        self.disk = folder / "disk.img"
        subprocess.run(["cp", "--sparse=always", str(workshop.disk), str(self.disk)], check=True)
        tls = workshop.ca.folder_of("node", node_id)
        if not tls.exists():
            workshop.ca.issue("node", node_id)
        self.user = TlsFiles.from_folder(workshop.ca.folder_of("user", "tester"))
        if not workshop.ca.folder_of("user", "tester").exists():
            workshop.ca.issue("user", "tester")
        self.holds = folder / "holds"
        self.holds.mkdir()
        (folder / "hooks").mkdir(mode=0o755)
        (folder / "agent.toml").write_text(self._settings(node_id, tls, redis_url))
        self.machine = VirtualNode(node_id, folder)

    def _settings(self, node_id: str, tls: Path, redis_url: str) -> str:
        values = {
            "node_id": node_id,
            "state_dir": self.folder / "state",
            "disk": self.disk,
            "listen": self.address,
            "tls_dir": tls,
            "hooks_dir": self.folder / "hooks",
            "boot_file": self.folder / "run/boot.json",
            "hold_dir": self.holds,
            "log_format": "console",
            **({"redis_url": redis_url} if redis_url else {}),
        }
        text = "".join(f"{name} = {json.dumps(str(value))}\n" for name, value in values.items())
        return f'{text}[health.boot.options]\nmin_uptime = 0.1\n[health.service.options]\nunits = ["app.service"]\n'

    def spec(self, release: Release, **fields: Any) -> UpdateSpec:
        """Return an update to a release of the workshop, quick to judge."""
        health = {"timeout": 5, "retry_interval": 0.2, "max_retries": 2}
        image = {"source": release.path.as_uri(), "sha256": release.sha256, "version": release.version}
        return UpdateSpec.model_validate({"image": image, "auto_rollback": True, "health": health, **fields})

    @cached_property
    def _channel(self) -> grpc.Channel:
        return open_channel(self.address, self.user)

    @property
    def api(self) -> node_pb2_grpc.NodeServiceStub:
        """The node's API as a user calls it."""
        return node_pb2_grpc.NodeServiceStub(self._channel)

    def start(self) -> None:
        """Switch on, and wait until the executor answers."""
        self.machine.start()
        grpc.channel_ready_future(self._channel).result(timeout=120)  # other tests may start a hundred nodes meanwhile

    def close(self) -> None:
        """Switch off; everything held goes on first."""
        for held in self.holds.iterdir():
            held.unlink()
        self._channel.close()
        self.machine.stop()

    def schedule(self, spec: UpdateSpec) -> str:
        """Schedule an update through the API and return its id."""
        request = node_pb2.ScheduleUpdateRequest(update=update_to_proto(spec))
        return self.api.ScheduleUpdate(request, wait_for_ready=True, timeout=20).schedule.id

    def hold(self, moment: str) -> None:
        """Stop the executor when it comes to ``moment``."""
        (self.holds / moment).touch()

    def wait_held(self, moment: str) -> None:
        """Wait until the executor stands at ``moment``."""
        wait_until((self.holds / f"{moment}.reached").exists, f"the executor to reach {moment}\n{self.console()}")

    def let_go(self, moment: str) -> None:
        """Let the executor pass ``moment`` from now on."""
        (self.holds / moment).unlink(missing_ok=True)
        (self.holds / f"{moment}.reached").unlink(missing_ok=True)

    def wait_phase(self, name: str, phase: str) -> None:
        """Wait until a schedule or order stands in ``phase``."""
        wait_until(lambda: self.record(name).get("phase") == phase, f"{name} to be {phase}\n{self.console()}")

    def wait_final(self, schedule_id: str, patience: float = 60) -> dict[str, Any]:
        """Wait until the schedule is settled, and return its record as it stands in the journal."""

        def settled() -> bool:
            return bool(self.record(schedule_id).get("settled"))

        try:
            wait_until(settled, f"schedule {schedule_id} to settle", patience=patience)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.record(schedule_id)}\n{self.console()}") from error
        return self.record(schedule_id)

    def record(self, name: str) -> dict[str, Any]:
        """Return the record of a schedule or order from the journal's file, {} if there is none."""
        path = self.folder / "state/update-schedule.json"
        records = json.loads(path.read_text())["schedules"] if path.exists() else []
        return next((r for r in records if name in (r["id"], r["order_id"])), {})

    def slots(self) -> dict[Slot, SlotStatus]:
        """Return the boot attributes as they are on the disk."""
        return dict(GptBootControl(self.disk, readers=()).status())

    def console(self) -> str:
        """Return the last of what the executor printed."""
        path = self.folder / "console.log"
        return path.read_text()[-4000:] if path.exists() else ""
