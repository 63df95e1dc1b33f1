"""Fleets on this machine, for tests: short paths, small slots, and a look into each node's journal."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.local import firmware
from deploy.local.fleet import FleetPlan, LocalFleet
from deploy.local.images import Release


@contextmanager
def small_fleet(plan: FleetPlan) -> Iterator[LocalFleet]:
    """Run a fleet in a folder of its own, whose path is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="matic-t-") as folder, LocalFleet(Path(folder), plan) as fleet:
        yield fleet


def roll_out(fleet: LocalFleet, release: Release, *more: str) -> str:
    """Create a rollout over all nodes and return its id."""
    created = fleet.osctl_json(
        "rollout", "create", "--name", f"to {release.version}", "--all", "--source", fleet.source(release),
        "--sha256", release.sha256, "--version", release.version, "--health-check-timeout", "10", *more,
    )  # fmt: skip
    return str(created["rollout"]["id"])


def targets(fleet: LocalFleet, rollout_id: str) -> list[dict[str, Any]]:
    """Return the rollout's targets; none while the controller is away."""
    done = fleet.try_osctl("rollout", "get", rollout_id, "-o", "json")
    return json.loads(done.stdout)["rollout"]["targets"] if done.returncode == 0 else []


def journal(fleet: LocalFleet, node_id: str) -> list[dict[str, Any]]:
    """Return the update records in a node's journal."""
    document = json.loads((fleet.folder / node_id / "state/update-schedule.json").read_text())
    return list(document["schedules"])


def proven_slot(fleet: LocalFleet, node_id: str) -> str:
    """Return the one slot that the node's disk would boot, which must be proven."""
    chosen = firmware.boot(fleet.folder / node_id / "disk.img")
    assert chosen.tries_left is None, f"{node_id} would boot slot {chosen.slot}, which is not proven"
    return chosen.slot
