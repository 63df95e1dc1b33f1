"""Text and JSON of every answer. The texts in the first half are fixed: they are quoted in full."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from syrupy.assertion import SnapshotAssertion

from controller.cli import output, render, render_rollout
from shared.proto import common_pb2 as common
from shared.proto import fleet_pb2 as fleet


def _at(day: int, hour: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime(2026, 1, day, hour, tzinfo=UTC))
    return stamp


_UPDATE = common.UpdateSpec(
    image=common.Image(source="http://cdn.example.com/maticos-v2.0.squashfs", sha256="abc123", version="2.0"),
    auto_rollback=True,
    health=common.HealthPolicy(timeout_seconds=300, retry_interval_seconds=10, max_retries=30),
)
_ID = "sched-20260127-001"
_CHECKS = [
    common.CheckResult(name="boot", verdict="healthy", critical=True, message="up 45 s", duration_ms=45.2),
    common.CheckResult(name="service", verdict="healthy", critical=True, duration_ms=23),
    common.CheckResult(name="network", verdict="healthy", critical=False, duration_ms=12),
    common.CheckResult(name="api", verdict="healthy", critical=True, duration_ms=8),
]
_HEALTH = common.HealthReport(verdict="healthy", checked_at=_at(27, 1), checks=_CHECKS, rounds=1)
_RECORDS = [
    common.RollbackRecord(at=_at(26, 23), reason="Health checks failed", type="Automatic", node_id="node-1"),
    common.RollbackRecord(at=_at(27, 1), reason="Application crash", type="Manual", node_id="node-2"),
]


def test_schedule_update_answers_in_the_words_people_know() -> None:
    text = render.scheduled(common.Schedule(id=_ID, state="Pending", phase="pending"))

    assert text == "Schedule ID: sched-20260127-001\nStatus: Pending"


def test_schedule_status_answers_in_the_words_people_know() -> None:
    text = render.schedule(common.Schedule(id=_ID, state="Completed", phase="completed", update=_UPDATE))

    assert text == (
        "Schedule: sched-20260127-001\n"
        "Status: Completed\n"
        "Source: http://cdn.example.com/maticos-v2.0.squashfs\n"
        "Auto-rollback: Enabled\n"
        "Health check timeout: 300s"
    )


def test_health_answers_in_the_words_people_know() -> None:
    text = render.health(_HEALTH)

    assert text == (
        "🏥 System Health: HEALTHY\n"
        "Last Updated: 2026-01-27T01:00:00Z\n"
        "\n"
        "Health Checks:\n"
        "  ✅ boot - OK (45ms)\n"
        "  ✅ service - OK (23ms)\n"
        "  ⚠️  network - OK (12ms)\n"
        "  ✅ api - OK (8ms)"
    )


def test_rollback_trigger_answers_in_the_words_people_know() -> None:
    assert render.rolled_back() == "✅ Rollback completed. System will reboot to previous partition."


def test_rollback_history_answers_in_the_words_people_know() -> None:
    text = render.history(_RECORDS, with_node=False)

    assert text == (
        "🔄 Rollback History (2 events):\n"
        "\n"
        "  Timestamp: 2026-01-26T23:00:00Z\n"
        "  Reason: Health checks failed\n"
        "  Type: Automatic\n"
        "\n"
        "  Timestamp: 2026-01-27T01:00:00Z\n"
        "  Reason: Application crash\n"
        "  Type: Manual"
    )


_FAILED = common.HealthReport(
    verdict="unhealthy",
    checked_at=_at(27, 1),
    checks=[
        common.CheckResult(
            name="service", verdict="unhealthy", critical=True, message="app.service not running", duration_ms=23
        ),
        common.CheckResult(name="network", verdict="unhealthy", critical=False, message="no link", duration_ms=12),
        common.CheckResult(name="api", verdict="undecided", critical=True, duration_ms=8),
    ],
)
_NODE = fleet.Node(
    id="node-1",
    labels={"site": "berlin", "canary": ""},
    address="10.0.0.1:50051",
    facts=common.NodeFacts(slot="A", version="1.0", architecture="x86_64", agent_version="0.1.0", good_slots=["A"]),
    last_seen=_at(27, 1),
    health=_FAILED,
    current_rollout="rollout-20260127-001",
    current_phase="flashing",
)
_ROLLOUT = fleet.Rollout(
    id="rollout-20260127-001",
    name="spring [beta]",
    state="halted",
    reason="1 of 1 finished nodes failed",
    update=_UPDATE,
    policy=fleet.Policy(waves=[fleet.WavePlan(count=1), fleet.WavePlan(percent=100)]),
    waves=[
        fleet.Wave(index=1, state="halted", size=1, opened_at=_at(27, 1), reason="threshold"),
        fleet.Wave(index=2, state="waiting", size=2),
    ],
    targets=[
        fleet.Target(node_id="node-2", wave=2, state="waiting"),
        fleet.Target(node_id="node-1", wave=1, state="rolled_back", phase="rolled_back", schedule_id=_ID, reason="api"),
    ],
    counts={"waiting": 1, "rolled_back": 1},
    created_at=_at(27, 1),
    created_by="user alice",
    version=7,
)

_TEXTS: dict[str, Callable[[], str]] = {
    "schedule in progress": lambda: render.schedule(
        common.Schedule(id=_ID, state="InProgress", phase="flashing", update=_UPDATE, node_id="node-1", origin="fleet")
    ),
    "schedule failed": lambda: render.schedule(
        common.Schedule(id=_ID, state="Failed", update=_UPDATE, reason="cannot fetch", error_kind="source_unreachable")
    ),
    "schedule of a bare rollback": lambda: render.schedule(
        common.Schedule(id=_ID, state="RolledBack", reason="by hand")
    ),
    "schedule list": lambda: render.schedules(
        [
            common.Schedule(
                id=_ID, node_id="node-1", state="Pending", phase="pending", update=_UPDATE, created_at=_at(27, 1)
            )
        ]
    ),
    "no schedules": lambda: render.schedules([]),
    "health failed": lambda: render.health(_FAILED),
    "health of a fleet": lambda: render.fleet_health([_NODE, fleet.Node(id="node-2")]),
    "history of a fleet": lambda: render.history(_RECORDS, with_node=True),
    "history with one event": lambda: render.history(_RECORDS[:1], with_node=False),
    "history empty": lambda: render.history([], with_node=False),
    "node list": lambda: render.nodes([_NODE, fleet.Node(id="node-2")]),
    "node get": lambda: render.node(_NODE),
    "rollout created": lambda: render_rollout.created(_ROLLOUT),
    "rollout list": lambda: render_rollout.rollouts([_ROLLOUT]),
    "rollout get": lambda: render_rollout.rollout(_ROLLOUT),
    "rollout progress": lambda: render_rollout.progress(_ROLLOUT),
}


@pytest.mark.usefixtures("capsys")  # tables are plain because stdout is no terminal, even under "pytest -s"
@pytest.mark.parametrize("name", _TEXTS)
def test_text_for_people(name: str, snapshot: SnapshotAssertion) -> None:
    assert _TEXTS[name]() == snapshot


_MESSAGES: dict[str, Message] = {
    "schedule": common.Schedule(id=_ID, state="Pending", phase="pending", update=_UPDATE, created_at=_at(27, 1)),
    "health": _HEALTH,
    "history": fleet.FleetGetRollbackHistoryResponse(records=_RECORDS[:1]),
    "node": _NODE,
    "rollout": _ROLLOUT,
    "empty rollout": fleet.Rollout(),
}


@pytest.mark.parametrize("name", _MESSAGES)
def test_json_for_scripts(name: str, snapshot: SnapshotAssertion) -> None:
    assert output.as_json(_MESSAGES[name]) == snapshot


def test_json_shows_every_field_and_keeps_numbers_as_numbers() -> None:
    shown = json.loads(output.as_json(_ROLLOUT))

    assert set(shown) == set(fleet.Rollout.DESCRIPTOR.fields_by_name)
    assert shown["version"] == 7
    assert shown["counts"] == {"waiting": 1, "rolled_back": 1}
    assert shown["finished_at"] is None
    assert shown["policy"]["waves"][0] == {"count": 1, "percent": None, "soak_seconds": 0.0}
