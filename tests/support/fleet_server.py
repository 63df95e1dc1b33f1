"""FleetService as it is: real gRPC, mTLS, Fleet and database. Only what nodes report is the test's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.api import bind, build_server
from controller.fleet import Fleet
from controller.rollout.model import Rollout
from controller.store.nodes import Contact
from controller.store.store import Store
from shared.messages import CheckResult, HealthReport, RollbackRecord
from shared.pki import DevelopmentCa
from shared.proto import fleet_pb2_grpc
from shared.signing import public_to_text
from shared.slots import Slot
from shared.states import RollbackType, RolloutState, TargetState, Verdict, WaveState
from shared.tls import TlsFiles, open_channel


def now() -> datetime:
    """Return the present."""
    return datetime.now(UTC)


class FleetServer:
    """A controller's API with a database of its own in ``folder``, and the pen to write what nodes report."""

    def __init__(self, folder: Path) -> None:
        """Serve on a free port."""
        self.ca = DevelopmentCa.create(folder / "ca")
        self.user = self.ca.issue("user", "alice")
        self._files = self.ca.issue("controller", "main")
        self.store = Store(f"sqlite:///{folder / 'fleet.sqlite'}")
        self.store.migrate()
        self.woken = 0
        self.fleet = Fleet(self.store, clock=now, wake=self._wake)
        self.port = 0
        self.start()

    def _wake(self) -> None:
        self.woken += 1

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self.port}"

    def start(self, fleet: Fleet | None = None) -> None:
        """Answer calls, on the same port as before."""
        self._server = build_server(fleet or self.fleet)
        self.port = bind(self._server, self._files, f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        """End it as a crash would: running calls are cut off."""
        self._server.stop(grace=None).wait()

    def close(self) -> None:
        """End for good."""
        self.stop()
        self.store.close()

    def channel(self, files: TlsFiles | None = None) -> grpc.Channel:
        """Return a channel to it, as ``alice`` unless said otherwise."""
        return open_channel(self.address, files or self.user)

    def stub(self, channel: grpc.Channel) -> fleet_pb2_grpc.FleetServiceStub:
        """Return the stub on a channel."""
        return fleet_pb2_grpc.FleetServiceStub(channel)

    @cached_property
    def _event_key(self) -> str:
        return public_to_text(Ed25519PrivateKey.generate().public_key())

    def register(self, *node_ids: str, labels: Mapping[str, str] | None = None) -> None:
        """Add nodes."""
        for node_id in node_ids:
            self.fleet.register_node(
                node_id, labels=labels or {}, address="", event_key=self._event_key, actor="user/test"
            )

    def turn(self, rollout_id: str, state: TargetState, error_kind: str = "", reason: str = "") -> None:
        """Write what the nodes of a rollout report: all their turns are in ``state`` now."""
        rollout = self.fleet.rollout(rollout_id)
        targets = tuple(replace(t, state=state, error_kind=error_kind, reason=reason) for t in rollout.targets)
        self._save(rollout, replace(rollout, targets=targets))

    def decide(self, rollout_id: str, state: RolloutState, reason: str = "") -> None:
        """Write what the engine decides about a rollout."""
        rollout = self.fleet.rollout(rollout_id)
        waves = tuple(replace(wave, state=WaveState.OPEN) for wave in rollout.waves)
        self._save(rollout, replace(rollout, state=state, reason=reason, waves=waves))

    def _save(self, seen: Rollout, changed: Rollout) -> None:
        with self.store.transaction() as tx:
            tx.rollouts.save(changed, seen=seen)

    def health(self, node_id: str, verdict: Verdict) -> None:
        """Write a health report of a node."""
        check = CheckResult(name="service", verdict=verdict, message="app.service not running", duration_ms=23)
        report = HealthReport(verdict=verdict, checked_at=datetime(2026, 1, 27, 1, tzinfo=UTC), checks=(check,))
        with self.store.transaction() as tx:
            tx.nodes.heard([Contact(node_id=node_id, seen_at=now(), seqs=(), health=report)])

    def rolled_back(self, node_id: str, reason: str, *, hour: int) -> None:
        """Write a rollback into the history of a node."""
        at = datetime(2026, 1, 27, hour, tzinfo=UTC)
        record = RollbackRecord(
            id=f"rb-{hour}", at=at, type=RollbackType.AUTOMATIC, reason=reason, from_slot=Slot.B, to_slot=Slot.A
        )
        with self.store.transaction() as tx:
            tx.rollbacks.add(node_id, record)
