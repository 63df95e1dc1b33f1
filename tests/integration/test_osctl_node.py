"""osctl against one real node: executor, GPT image, reboots. The whole life of updates, in the words people know."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from deploy.local.images import Release
from deploy.local.waiting import wait_until
from tests.support.osctl import Osctl
from tests.support.real_node import RealNode, Workshop


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """CA, releases and a disk."""
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def node(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """A running node in version 1.0.0; the tests below follow it through its life, in their order."""
    running = RealNode(workshop, tmp_path_factory.mktemp("node"))
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture
def osctl(node: RealNode) -> Osctl:
    """Osctl that asks the node itself."""
    return Osctl(node.folder, node.address, kind="node", files=node.user)


def _update(release: Release, *more: str) -> list[str]:
    image = ["--source", release.path.as_uri(), "--sha256", release.sha256, "--version", release.version]
    quick = ["--health-check-timeout", "5", "--health-check-interval", "0.2", "--health-check-retries", "2"]
    return ["schedule", "update", *image, *quick, *more]


def test_health_of_a_node_is_what_its_checks_say(osctl: Osctl) -> None:
    result = osctl("health", "--fresh")

    assert result.code == 0, result
    lines = result.out.splitlines()
    assert lines[0] == "🏥 System Health: HEALTHY"
    assert re.fullmatch(r"Last Updated: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines[1])
    assert lines[2:4] == ["", "Health Checks:"]
    assert re.fullmatch(r"  ✅ boot - OK \(\d+ms\)", lines[4])
    assert [re.sub(r"\d+ms", "", line) for line in lines[5:]] == [
        "  ✅ service - OK ()",
        "  ⚠️  network - OK ()",
        "  ✅ api - OK ()",
    ]


def test_a_wrong_sha256_is_refused_with_15_and_changes_nothing(osctl: Osctl, workshop: Workshop) -> None:
    arguments = _update(workshop.new, "--wait", "--timeout", "60s")
    arguments[arguments.index("--sha256") + 1] = "0" * 64

    result = osctl(*arguments, patience=90)

    assert result.code == 15, result
    assert result.out.splitlines()[1:] == ["Status: Pending", "Status: Failed"]
    assert "was refused for its image" in result.err


def test_a_missing_hook_fails_with_10_on_the_old_slot(osctl: Osctl, workshop: Workshop) -> None:
    result = osctl(*_update(workshop.new, "--pre-hook", "missing", "--wait", "-o", "json"), patience=90)

    assert result.code == 10, result
    assert result.json["schedule"]["error_kind"] == "hook_failed"
    assert "missing" in result.error["message"]


def test_an_update_that_waits_for_its_window_can_be_cancelled_once(osctl: Osctl, workshop: Workshop) -> None:
    schedule_id = osctl(*_update(workshop.new, "--at", "+1h")).out.splitlines()[0].removeprefix("Schedule ID: ")

    pending, cancelled = osctl("schedule", "status", schedule_id), osctl("schedule", "cancel", schedule_id)
    again, unknown = osctl("schedule", "cancel", schedule_id), osctl("schedule", "cancel", "sched-20200101-001")

    assert pending.out.splitlines()[:2] == [f"Schedule: {schedule_id}", "Status: Pending"]
    assert cancelled.out == f"Schedule: {schedule_id}\nStatus: Cancelled\n"
    assert again.code in (0, 5)
    assert (unknown.code, unknown.err.startswith("error: cannot")) == (3, True)


def test_a_release_that_does_not_work_rolls_back_with_11_and_is_in_the_history(
    osctl: Osctl, workshop: Workshop
) -> None:
    result = osctl(*_update(workshop.bad, "--enable-auto-rollback", "--wait", "--timeout", "120s"), patience=150)
    history, records = osctl("rollback", "history"), osctl("rollback", "history", "-o", "json")

    assert result.code == 11, result
    assert result.out.splitlines()[-1] == "Status: RolledBack"
    assert history.out.splitlines()[0] == "🔄 Rollback History (1 event):"
    assert history.out.splitlines()[-1] == "  Type: Automatic"
    assert [record["to_version"] for record in records.json["records"]] == ["1.0.0"]


def test_a_version_that_was_rolled_back_is_refused(osctl: Osctl, workshop: Workshop) -> None:
    result = osctl(*_update(workshop.bad, "--enable-auto-rollback", "--wait"), patience=90)

    assert result.code == 15, result
    assert workshop.bad.version in result.err


def test_an_update_completes_with_0_through_the_reboot_and_is_shown(osctl: Osctl, workshop: Workshop) -> None:
    done = osctl(*_update(workshop.new, "--enable-auto-rollback", "--wait", "--timeout", "120s"), patience=150)
    schedule_id = done.out.splitlines()[0].removeprefix("Schedule ID: ")
    status, listed = osctl("schedule", "status", schedule_id), osctl("schedule", "list", "--limit", "1", "-o", "json")

    assert done.code == 0, done
    assert re.fullmatch(r"sched-\d{8}-\d{3}", schedule_id)
    assert done.out == f"Schedule ID: {schedule_id}\nStatus: Pending\nStatus: Completed\n"
    assert status.out == (
        f"Schedule: {schedule_id}\n"
        "Status: Completed\n"
        f"Source: {workshop.new.path.as_uri()}\n"
        "Auto-rollback: Enabled\n"
        "Health check timeout: 5s\n"
    )
    assert [schedule["id"] for schedule in listed.json["schedules"]] == [schedule_id]


def test_a_manual_rollback_goes_back_and_is_written_down_with_its_reason(osctl: Osctl) -> None:
    triggered = osctl("rollback", "trigger", "--reason", "Application crash")
    wait_until(
        lambda: osctl("rollback", "history", "--limit", "1").out.endswith("Application crash\n  Type: Manual\n"),
        "the node to be back and to have written the rollback down",
    )

    assert triggered.out == "✅ Rollback completed. System will reboot to previous partition.\n"
    assert osctl("rollback", "history").out.startswith("🔄 Rollback History (2 events):\n\n  Timestamp: ")


def test_without_auto_rollback_an_unhealthy_node_stays_with_14(osctl: Osctl, workshop: Workshop) -> None:
    update = osctl(*_update(workshop.bad, "--lift-denial", "--wait", "--timeout", "120s"), patience=150)
    health = osctl("health", "--fresh")

    assert update.code == 14, update
    assert "osctl rollback trigger" in update.err
    assert health.code == 14
    assert "  ❌ service - Fail: " in health.out


def test_targets_are_a_matter_for_controllers(osctl: Osctl) -> None:
    result = osctl("health", "--node", "node-1")

    assert result.code == 2
    assert "it is one node" in result.err
