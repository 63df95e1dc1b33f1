"""What the demo promises, looked up afterwards: in the controller's answers and on every node's disk."""

from __future__ import annotations

from typing import Any

from deploy.local import firmware
from deploy.local.fleet import LocalFleet
from deploy.local.images import read_system


def problems(fleet: LocalFleet, *, good: str, unlucky: str, bad: str) -> list[str]:
    """Return what is not as the story says; none is the good answer."""
    first = fleet.plan.version
    wanted = {node_id: first if node_id == unlucky else good for node_id in fleet.node_ids}
    history = fleet.osctl_json("rollback", "history", "--all")["records"]
    return [
        *_versions(fleet, wanted),
        *_disks(fleet, wanted),
        *_history(history, unlucky, good, bad),
        *_untouched(fleet, bad),
    ]


def _versions(fleet: LocalFleet, wanted: dict[str, str]) -> list[str]:
    listed = {node["id"]: node["facts"]["version"] for node in fleet.osctl_json("node", "list")["nodes"]}
    return [
        f"{node_id} is listed with version {listed.get(node_id)}, not {version}"
        for node_id, version in wanted.items()
        if listed.get(node_id) != version
    ]


def _disks(fleet: LocalFleet, wanted: dict[str, str]) -> list[str]:
    """Boot each disk as firmware would, on a machine that is off by now or idle, and see what is there."""
    found = []
    for node_id, version in wanted.items():
        disk = fleet.folder / node_id / "disk.img"
        chosen = firmware.boot(disk)
        if chosen.tries_left is not None:
            found.append(f"{node_id} would boot slot {chosen.slot}, which is not proven")
        there = read_system(disk, chosen.offset, fleet.folder / "look")
        if there != version:
            found.append(f"{node_id} would boot version {there} from slot {chosen.slot}, not {version}")
    return found


def _history(records: list[dict[str, Any]], unlucky: str, good: str, bad: str) -> list[str]:
    first = [r for r in records if r["node_id"] == unlucky and r["from_version"] == good]
    second = [r for r in records if r["from_version"] == bad]
    found = []
    if len(first) != 1 or first[0]["type"] != "Automatic":
        found.append(f"the history should hold one automatic rollback of {unlucky} from {good}, and holds {first}")
    if len(second) != 1:
        found.append(f"the history should hold one rollback from {bad}, of its canary, and holds {second}")
    if len(records) != len(first) + len(second):
        found.append(f"the history holds {len(records)} rollbacks, not 2")
    return found


def _untouched(fleet: LocalFleet, bad: str) -> list[str]:
    rollouts = [r for r in fleet.osctl_json("rollout", "list")["rollouts"] if r["update"]["image"]["version"] == bad]
    if len(rollouts) != 1 or rollouts[0]["state"] != "halted":
        return [f"the rollout of {bad} should stand halted, and is {rollouts}"]
    counts = rollouts[0]["counts"]
    waiting = fleet.plan.nodes - 1  # all but its canary
    if counts.get("waiting") != waiting:
        return [f"{waiting} nodes should still wait for {bad}, and the counts are {counts}"]
    return []
