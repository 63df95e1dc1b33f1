"""Text for people about rollouts."""

from __future__ import annotations

from collections.abc import Sequence

from controller.cli.output import instant, instant_or_dash, table
from shared.proto import fleet_pb2 as pb
from shared.states import TargetState, WaveState


def created(rollout: pb.Rollout) -> str:
    """Answer of ``rollout create``."""
    return f"Rollout ID: {rollout.id}\nState: {rollout.state}"


def rollouts(found: Sequence[pb.Rollout]) -> str:
    """Answer of ``rollout list``."""
    rows = [
        (item.id, item.name, item.state, _wave(item), _counts(item), instant(item.created_at), item.created_by)
        for item in found
    ]
    return table(("ROLLOUT", "NAME", "STATE", "WAVE", "NODES", "CREATED", "BY"), rows)


def rollout(found: pb.Rollout) -> str:
    """Answer of ``rollout get``."""
    lines = [
        f"Rollout: {found.id}",
        f"Name: {found.name}",
        f"State: {found.state}",
        *([f"Reason: {found.reason}"] if found.reason else []),
        f"Source: {found.update.image.source}",
        f"Version: {found.update.image.version or '-'}",
        f"Auto-rollback: {'Enabled' if found.update.auto_rollback else 'Disabled'}",
        f"Created: {instant(found.created_at)} by {found.created_by or '-'}",
        f"Nodes: {_counts(found)}",
    ]
    waves = [
        (str(wave.index), wave.state, str(wave.size), instant_or_dash(wave, "opened_at"), wave.reason)
        for wave in found.waves
    ]
    targets = [
        (
            target.node_id,
            str(target.wave),
            target.state,
            target.phase,
            target.schedule_id,
            target.reason or target.error_kind,
        )
        for target in sorted(found.targets, key=lambda target: (target.wave, target.node_id))
    ]
    return "\n".join(
        [
            *lines,
            "",
            table(("WAVE", "STATE", "SIZE", "OPENED", "REASON"), waves),
            "",
            table(("NODE", "WAVE", "STATE", "PHASE", "SCHEDULE", "REASON"), targets),
        ]
    )


def progress(found: pb.Rollout) -> str:
    """Return one line that says how far a rollout is, and what it waits for."""
    why = f": {found.reason}" if found.reason else ""
    return f"{found.id}  {found.state}  wave {_wave(found)}  {_counts(found)}{why}"


def _wave(found: pb.Rollout) -> str:
    """Return "1/3": the wave that is at work, of all."""
    begun = [wave.index for wave in found.waves if wave.state != WaveState.WAITING]
    return f"{max(begun, default=0)}/{len(found.waves)}"


def _counts(found: pb.Rollout) -> str:
    """Return the counts in the order in which a turn goes, so that two lines can be compared."""
    known = [str(state) for state in TargetState]
    names = [*known, *sorted(set(found.counts) - set(known))]
    return ", ".join(f"{found.counts[name]} {name}" for name in names if found.counts.get(name)) or "-"
