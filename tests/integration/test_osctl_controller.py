"""osctl through a controller: a real process against a real server with mTLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.states import Verdict
from tests.support.fleet_server import FleetServer
from tests.support.osctl import Osctl

_SHA = "a" * 64
_IMAGE = ("--source", "http://cdn.example.com/maticos-v2.0.squashfs", "--sha256", _SHA)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FleetServer]:
    """A running API with nodes n1 and n2."""
    running = FleetServer(tmp_path)
    running.register("n1", labels={"site": "berlin"})
    running.register("n2", labels={"site": "tokyo"})
    yield running
    running.close()


@pytest.fixture
def osctl(server: FleetServer, tmp_path: Path) -> Osctl:
    """Osctl as user alice of that controller."""
    return Osctl(tmp_path, server.address, files=server.user)


def test_one_nodes_update_is_scheduled_shown_and_cancelled_in_the_words_people_know(osctl: Osctl) -> None:
    scheduled = osctl("schedule", "update", "--node", "n1", *_IMAGE, "--enable-auto-rollback")
    schedule_id = scheduled.out.splitlines()[0].removeprefix("Schedule ID: ")
    status = osctl("schedule", "status", schedule_id)
    cancelled = osctl("schedule", "cancel", schedule_id, "--reason", "wrong day")

    assert scheduled.out == f"Schedule ID: {schedule_id}\nStatus: Pending\n"
    assert status.out == (
        f"Schedule: {schedule_id}\n"
        "Status: Pending\n"
        "Source: http://cdn.example.com/maticos-v2.0.squashfs\n"
        "Auto-rollback: Enabled\n"
        "Health check timeout: 300s\n"
        "Node: n1\n"
    )
    assert cancelled.code == 0
    assert f"Schedule: {schedule_id}\n" in cancelled.out
    assert scheduled.err + status.err + cancelled.err == ""


@pytest.mark.parametrize(
    ("targets", "nodes"),
    [
        pytest.param(["--all"], ["n1", "n2"], id="all"),
        pytest.param(["--selector", "site=tokyo"], ["n2"], id="selector"),
        pytest.param(["--node", "n1", "--node", "n2"], ["n1", "n2"], id="names"),
    ],
)
def test_an_update_goes_to_the_chosen_nodes(osctl: Osctl, targets: list[str], nodes: list[str]) -> None:
    result = osctl("schedule", "update", *_IMAGE, *targets, "-o", "json")

    assert result.code == 0
    assert sorted(schedule["node_id"] for schedule in result.json["schedules"]) == nodes
    assert {schedule["update"]["auto_rollback"] for schedule in result.json["schedules"]} == {False}
    assert result.json["rollout_id"].startswith("rollout-")


def test_every_option_of_an_update_reaches_the_controller(osctl: Osctl) -> None:
    result = osctl(
        *("schedule", "update", "--node", "n1", *_IMAGE, "--version", "2.0", "--size", "4096"),
        *("--architecture", "x86_64", "--compatible", "mx-1", "--health-check-timeout", "60"),
        *("--health-check-interval", "5", "--health-check-retries", "0", "--at", "2030-01-01T00:00:00Z"),
        *("--window", "sat,sun 02:00 +120m Europe/Berlin", "--pre-hook", "drain", "--post-hook", "undrain"),
        *("--lift-denial", "--output=json"),
    )

    [schedule] = result.json["schedules"]
    assert schedule["update"] == {
        "image": {
            "source": _IMAGE[1],
            "sha256": _SHA,
            "size": 4096,
            "version": "2.0",
            "architecture": "x86_64",
            "compatible": "mx-1",
        },
        "auto_rollback": False,
        "health": {"timeout_seconds": 60.0, "retry_interval_seconds": 5.0, "max_retries": 0},
        "start_at": "2030-01-01T00:00:00Z",
        "window": {"start": "02:00", "minutes": 120, "days": ["sat", "sun"], "zone": "Europe/Berlin"},
        "pre_update_hook": "drain",
        "post_update_hook": "undrain",
        "lift_denial": True,
    }


def test_a_rollout_is_created_once_under_its_key_and_shown(osctl: Osctl) -> None:
    create = ("rollout", "create", "--name", "spring", "--all", *_IMAGE, "--waves", "1,100%", "--idempotency-key", "k")

    first, again = osctl(*create, "-o", "json"), osctl(*create)
    rollout_id = first.json["rollout"]["id"]
    listed, shown = osctl("rollout", "list"), osctl("rollout", "get", rollout_id)
    other = osctl(*create, "--version", "3")

    assert again.out.splitlines()[0] == f"Rollout ID: {rollout_id}"
    assert listed.out.splitlines()[1].split()[:2] == [rollout_id, "spring"]
    assert len(listed.out.splitlines()) == 2
    assert first.json["rollout"]["update"]["auto_rollback"] is True
    assert "Auto-rollback: Enabled" in shown.out
    assert (other.code, "idempotency key 'k'" in other.err) == (5, True)


def test_the_rollouts_policy_is_what_the_options_say(osctl: Osctl) -> None:
    result = osctl(
        *("rollout", "create", "--all", *_IMAGE, "--no-auto-rollback", "--waves", "1,25%,100%", "--soak", "10m"),
        *("--max-failed-percent", "5", "--max-failed", "3", "--min-finished", "2", "--max-in-flight", "4"),
        *("--accept-deadline", "30m", "--finish-deadline", "1h", "-o", "json"),
    )

    rollout = result.json["rollout"]
    assert rollout["update"]["auto_rollback"] is False
    assert rollout["policy"] == {
        "waves": [
            {"count": 1, "percent": None, "soak_seconds": 600.0},
            {"count": None, "percent": 25.0, "soak_seconds": 600.0},
            {"count": None, "percent": 100.0, "soak_seconds": 600.0},
        ],
        "max_failed_percent": 5.0,
        "min_finished": 2,
        "max_failed": 3,
        "max_in_flight": 4,
        "accept_deadline_seconds": 1800.0,
        "finish_deadline_seconds": 3600.0,
    }


def test_a_rollout_is_paused_resumed_and_aborted_and_then_it_is_too_late(osctl: Osctl) -> None:
    rollout_id = osctl("rollout", "create", "--all", *_IMAGE, "-o", "json").json["rollout"]["id"]

    steps = [osctl("rollout", verb, rollout_id, "--reason", "lunch") for verb in ("pause", "resume", "abort")]
    late = osctl("rollout", "resume", rollout_id)

    assert [step.out.split()[1] for step in steps] == ["paused", "running", "aborted"]
    assert (late.code, late.err.startswith("error: cannot")) == (5, True)


def test_nodes_are_added_listed_and_shown(osctl: Osctl, server: FleetServer) -> None:
    server.ca.issue("node", "n3")
    key = server.ca.folder_of("node", "n3") / "events.pub"

    added = osctl("node", "add", "n3", "--label", "site=oslo", "--node-address", "h:50051", "--event-key", str(key))
    listed = osctl("node", "list", "--selector", "site!=tokyo", "-o", "json")
    shown = osctl("node", "get", "n3")

    assert added.code == 0, added.err
    assert [node["id"] for node in listed.json["nodes"]] == ["n1", "n3"]
    assert shown.out == added.out
    assert "Address: h:50051\nLabels: site=oslo\n" in shown.out


def test_health_of_the_fleet_is_a_table_and_one_ill_node_ends_with_14(osctl: Osctl, server: FleetServer) -> None:
    server.health("n1", Verdict.DEGRADED)
    server.health("n2", Verdict.UNHEALTHY)

    every, one, ill = osctl("health"), osctl("health", "--node", "n1"), osctl("health", "-n", "n2", "-o", "json")

    assert (every.code, one.code, ill.code) == (14, 0, 14)
    assert [line.split()[:2] for line in every.out.splitlines()[1:]] == [["n1", "DEGRADED"], ["n2", "UNHEALTHY"]]
    assert one.out.startswith("🏥 System Health: DEGRADED\nLast Updated: 2026-01-27T01:00:00Z\n\nHealth Checks:\n")
    assert ill.json["nodes"][0]["health"]["verdict"] == "unhealthy"
    assert ill.error["kind"] == "unhealthy"
    assert "service" in ill.error["message"]


def test_a_node_that_never_reported_health_is_not_called_well(osctl: Osctl) -> None:
    result = osctl("health", "--node", "n1")

    assert result.code == 14
    assert "UNKNOWN" in result.out
    assert "without a report" in result.err


def test_rollbacks_are_ordered_and_the_fleets_history_is_shown(osctl: Osctl, server: FleetServer) -> None:
    server.rolled_back("n2", "Health checks failed", hour=1)

    ordered = osctl("rollback", "trigger", "--node", "n1", "--reason", "Application crash")
    history, none = osctl("rollback", "history"), osctl("rollback", "history", "--node", "n1")

    assert ordered.out == "✅ Rollback ordered for node n1. System will reboot to previous partition.\n"
    assert history.out == (
        "🔄 Rollback History (1 event):\n"
        "\n"
        "  Timestamp: 2026-01-27T01:00:00Z\n"
        "  Reason: Health checks failed\n"
        "  Type: Automatic\n"
        "  Node: n2\n"
    )
    assert none.out == "🔄 Rollback History (0 events):\n"


def test_version_and_doctor_ask_the_controller(osctl: Osctl) -> None:
    version, doctor = osctl("version", "--server"), osctl("doctor", "-o", "json")

    assert version.out.splitlines()[1].endswith("(sqlite)")
    assert doctor.code == 0, doctor.err
    assert doctor.json["ready"] is True
    assert "answers" in doctor.json["checks"][-1]["message"]
