"""Waiting: every way in which an update or a rollout can end has its exit code; a restart in between does no harm."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.states import RolloutState, TargetState
from tests.support.fleet_server import FleetServer
from tests.support.osctl import Osctl, finish

_IMAGE = ("--source", "http://h/i", "--sha256", "a" * 64)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FleetServer]:
    """A running API with nodes n1 and n2."""
    running = FleetServer(tmp_path)
    running.register("n1", "n2")
    yield running
    running.close()


@pytest.fixture
def osctl(server: FleetServer, tmp_path: Path) -> Osctl:
    """Osctl as user alice of that controller."""
    return Osctl(tmp_path, server.address, files=server.user)


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        ((TargetState.SUCCEEDED, ""), 0, ""),
        ((TargetState.ALREADY_THERE, ""), 0, ""),
        ((TargetState.FAILED, "hook_failed"), 10, "failed"),
        ((TargetState.ROLLED_BACK, "unhealthy"), 11, "rolled back"),
        ((TargetState.CANCELLED, ""), 13, "was cancelled"),
        ((TargetState.FAILED, "unhealthy"), 14, "unhealthy on the new slot"),
        ((TargetState.REFUSED, "digest_mismatch"), 15, "refused for its image"),
        ((TargetState.UNKNOWN, ""), 6, "no answer from the node"),
    ],
    ids=str,
)
def test_the_end_of_an_update_has_its_code(
    osctl: Osctl, server: FleetServer, outcome: tuple[TargetState, str], code: int, words: str
) -> None:
    process = osctl.start("schedule", "update", "--node", "n1", *_IMAGE, "--wait")
    assert _first_line(process).startswith("Schedule ID: ")
    [schedule] = server.fleet.schedules()

    server.turn(schedule.rollout_id, *outcome, "because")

    result = finish(process)
    assert result.code == code, result
    assert schedule.id in result.out
    assert (words in result.err) if words else (result.err == "")
    assert ("because" in result.err) == bool(words)


def test_several_updates_end_with_the_worst_and_the_answer_is_one_json(osctl: Osctl, server: FleetServer) -> None:
    done = osctl("schedule", "update", "--all", *_IMAGE, "-o", "json", "--idempotency-key", "k")
    server.turn(done.json["rollout_id"], TargetState.ROLLED_BACK, "unhealthy", "because")

    result = osctl("schedule", "update", "--all", *_IMAGE, "-o", "json", "--idempotency-key", "k", "--wait")

    assert result.code == result.error["exit_code"] == 11
    assert [schedule["state"] for schedule in result.json["schedules"]] == ["RolledBack", "RolledBack"]
    assert "and 1 more" in result.error["message"]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (RolloutState.SUCCEEDED, 0),
        (RolloutState.HALTED, 12),
        (RolloutState.ABORTED, 13),
        (RolloutState.ROLLED_BACK, 11),
    ],
)
def test_the_end_of_a_rollout_has_its_code(osctl: Osctl, server: FleetServer, state: RolloutState, code: int) -> None:
    process = osctl.start("rollout", "create", "--all", *_IMAGE, "--wait")
    rollout_id = _first_line(process).split()[-1]

    server.decide(rollout_id, state, "because")

    result, watched = finish(process), osctl("rollout", "watch", rollout_id, "-o", "json")
    assert result.code == watched.code == code
    assert f"{rollout_id}  {state}" in result.out.splitlines()[-1]
    assert watched.json["rollout"]["state"] == state
    assert (f"is {state}: because" in result.err) == bool(code)


def test_a_pause_does_not_end_the_wait_and_time_does(osctl: Osctl, server: FleetServer) -> None:
    rollout_id = osctl("rollout", "create", "--all", *_IMAGE, "-o", "json").json["rollout"]["id"]
    server.decide(rollout_id, RolloutState.PAUSED)

    result = osctl("rollout", "watch", rollout_id, "--timeout", "0.5s")

    assert result.code == 124
    assert "paused" in result.out
    assert "0.5 s are over" in result.err
    assert "cure: " in result.err


def test_a_controller_that_restarts_meanwhile_only_delays(osctl: Osctl, server: FleetServer) -> None:
    process = osctl.start("rollout", "create", "--all", *_IMAGE, "--wait", "--timeout", "60s")
    rollout_id = _first_line(process).split()[-1]

    server.stop()
    _let_it_knock(server.port)
    server.decide(rollout_id, RolloutState.SUCCEEDED)
    server.start()

    result = finish(process, patience=90)
    assert result.code == 0, result
    assert f"{rollout_id}  succeeded" in result.out


def _let_it_knock(port: int) -> None:
    """Stand in for the dead server until osctl has come and found nobody."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(60)
        caller, _ = listener.accept()
        caller.close()


def test_a_controller_that_stays_away_ends_the_wait_in_time(osctl: Osctl, server: FleetServer) -> None:
    process = osctl.start("rollout", "create", "--all", *_IMAGE, "--wait", "--timeout", "2s")
    _first_line(process)

    server.stop()

    result = finish(process)
    assert result.code == 124
    assert "the last answer was" in result.err
    server.start()


def test_watching_what_is_not_there_ends_at_once(osctl: Osctl, server: FleetServer) -> None:
    unknown = osctl("rollout", "watch", "rollout-x")
    server.stop()
    away = osctl("rollout", "watch", "rollout-x")
    server.start()

    assert unknown.code == 3
    assert away.code == 6
    assert "nothing listens" in away.err
