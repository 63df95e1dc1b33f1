"""Text for people. The words and symbols of the first five functions are fixed: people and scripts know them."""

from __future__ import annotations

from collections.abc import Sequence

from controller.cli.output import instant, instant_or_dash, table
from shared.proto import common_pb2 as common
from shared.proto import fleet_pb2 as fleet
from shared.states import ScheduleState, Verdict


def scheduled(schedule: common.Schedule) -> str:
    """Answer of ``schedule update``."""
    return f"Schedule ID: {schedule.id}\nStatus: {schedule.state}"


def schedule(found: common.Schedule) -> str:
    """Answer of ``schedule status``; what an unfinished or unhappy schedule has to add stands below."""
    lines = [f"Schedule: {found.id}", f"Status: {found.state}"]
    if found.HasField("update"):  # a rollback to what no schedule installed has none
        update = found.update
        lines += [
            f"Source: {update.image.source}",
            f"Auto-rollback: {'Enabled' if update.auto_rollback else 'Disabled'}",
            f"Health check timeout: {update.health.timeout_seconds:g}s",
        ]
    if found.origin == "fleet" and found.node_id:
        lines.append(f"Node: {found.node_id}")
    if found.state == ScheduleState.IN_PROGRESS:
        lines.append(f"Phase: {found.phase}")
    if found.reason:
        lines.append(f"Reason: {found.reason}")
    return "\n".join(lines)


def health(report: common.HealthReport) -> str:
    """Answer of ``health`` for one node."""
    lines = [
        f"🏥 System Health: {report.verdict.upper()}",
        f"Last Updated: {instant_or_dash(report, 'checked_at')}",
        "",
        "Health Checks:",
    ]
    return "\n".join([*lines, *(_check(check) for check in report.checks)])


def _check(check: common.CheckResult) -> str:
    # A check that is not critical is marked whatever it says: it never causes a rollback. The symbol for it is one
    # column narrower than the others on most terminals, hence the second blank.
    passed = check.verdict == Verdict.HEALTHY
    icon = "⚠️ " if not check.critical else "✅" if passed else "❌"
    answer = "OK" if passed else f"Fail: {check.message or check.verdict}"
    return f"  {icon} {check.name} - {answer} ({check.duration_ms:.0f}ms)"


def rolled_back() -> str:
    """Answer of ``rollback trigger`` from a node: it answers once the switch back is settled, before the reboot."""
    return "✅ Rollback completed. System will reboot to previous partition."


def rollback_ordered(message: str) -> str:
    """Answer of ``rollback trigger`` from a controller: the nodes have yet to do it."""
    return f"✅ {message}"


def history(records: Sequence[common.RollbackRecord], *, with_node: bool) -> str:
    """Answer of ``rollback history``."""
    count = f"{len(records)} event{'' if len(records) == 1 else 's'}"
    parts = [f"🔄 Rollback History ({count}):"]
    for record in records:
        lines = [f"Timestamp: {instant(record.at)}", f"Reason: {record.reason}", f"Type: {record.type}"]
        if with_node and record.node_id:
            lines.append(f"Node: {record.node_id}")
        parts.append("\n".join(f"  {line}" for line in lines))
    return "\n\n".join(parts)


def schedules(found: Sequence[common.Schedule]) -> str:
    """Answer of ``schedule list``."""
    rows = [
        (
            item.id,
            item.node_id,
            item.state,
            item.phase,
            item.update.image.version,
            instant(item.created_at),
            item.reason,
        )
        for item in found
    ]
    return table(("SCHEDULE", "NODE", "STATUS", "PHASE", "VERSION", "CREATED", "REASON"), rows)


def nodes(found: Sequence[fleet.Node]) -> str:
    """Answer of ``node list``."""
    rows = [
        (
            node.id,
            node.facts.version,
            node.facts.slot,
            node.health.verdict,
            node.current_rollout,
            node.current_phase,
            instant_or_dash(node, "last_seen"),
            labels(node),
        )
        for node in found
    ]
    return table(("NODE", "VERSION", "SLOT", "HEALTH", "ROLLOUT", "PHASE", "LAST SEEN", "LABELS"), rows)


def node(found: fleet.Node) -> str:
    """Answer of ``node get``."""
    facts = found.facts
    lines = [
        f"Node: {found.id}",
        f"Address: {found.address or '-'}",
        f"Labels: {labels(found) or '-'}",
        f"Version: {facts.version or '-'}",
        f"Slot: {facts.slot or '-'} (good: {', '.join(facts.good_slots) or '-'})",
        f"Architecture: {facts.architecture or '-'}",
        f"Executor: {facts.agent_version or '-'}",
        f"Last seen: {instant_or_dash(found, 'last_seen')}",
    ]
    if found.current_rollout:
        lines.append(f"Rollout: {found.current_rollout} ({found.current_phase or 'ordered'})")
    return "\n".join(lines) + (f"\n\n{health(found.health)}" if found.HasField("health") else "")


def labels(found: fleet.Node) -> str:
    """Return a node's labels as a selector would spell them."""
    return ",".join(f"{key}={value}" for key, value in sorted(found.labels.items()))


def fleet_health(found: Sequence[fleet.Node]) -> str:
    """Answer of ``health`` for several nodes."""
    rows = [
        (
            item.id,
            item.health.verdict.upper() or "UNKNOWN",
            instant_or_dash(item.health, "checked_at"),
            ", ".join(check.name for check in item.health.checks if check.verdict != Verdict.HEALTHY),
        )
        for item in found
    ]
    return table(("NODE", "HEALTH", "LAST UPDATED", "FAILED CHECKS"), rows)
