"""A rollout goes on through the death of its controller and of its Redis: they only delay it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from deploy.local.fleet import FleetPlan, LocalFleet
from shared.queues import EVENTS_QUEUE
from tests.support.fleets import journal, proven_slot, roll_out, small_fleet, targets

PLAN = FleetPlan(
    nodes=5,
    slot_mib=8,
    payload_mib=2,
    # Short leases, so that what was lost is noticed within the test's time.
    intervals={"lease": 2, "longest_lease": 4, "silence": 3, "ingest_lease": 2, "rollout_lease": 3},
)


@pytest.fixture
def fleet() -> Iterator[LocalFleet]:
    with small_fleet(PLAN) as running:
        yield running


def kill_controller(fleet: LocalFleet) -> None:
    fleet.controller.kill()
    restart_controller(fleet)


def restart_controller(fleet: LocalFleet) -> None:
    fleet.controller.start()
    fleet.wait_until(lambda: fleet.try_osctl("node", "list").returncode == 0, "the controller to answer again")


def kill_redis(fleet: LocalFleet) -> None:
    fleet.redis.kill()
    fleet.redis.start()


def flush_redis(fleet: LocalFleet) -> None:
    with fleet.redis.client() as client:
        client.flushall()


def lose_unread_reports(fleet: LocalFleet) -> None:
    """Empty Redis while it holds reports that no controller has read: the nodes believe them delivered."""
    fleet.controller.kill()
    with fleet.redis.client() as client:
        fleet.wait_until(lambda: client.llen(EVENTS_QUEUE) >= 4, "reports that nobody reads")
        client.flushall()
    restart_controller(fleet)


@pytest.mark.slow
@pytest.mark.parametrize(
    "disrupt", [kill_controller, kill_redis, flush_redis, lose_unread_reports], ids=lambda function: function.__name__
)
def test_a_disrupted_rollout_brings_every_node_to_one_end_and_flashes_none_twice(
    fleet: LocalFleet, disrupt: Callable[[LocalFleet], None]
) -> None:
    release = fleet.build_release("2.0.0")
    rollout_id = roll_out(fleet, release, "--waves", "1,100%")
    fleet.wait_until(lambda: second_wave_moves(fleet, rollout_id), "the second wave to be at work")

    disrupt(fleet)
    watched = fleet.try_osctl("rollout", "watch", rollout_id, "--timeout", "120s")

    assert watched.returncode == 0, watched.stdout + watched.stderr
    ends = {target["node_id"]: target["state"] for target in targets(fleet, rollout_id)}
    assert ends == dict.fromkeys(fleet.node_ids, "succeeded")
    for node_id in fleet.node_ids:
        records = journal(fleet, node_id)
        assert [(record["phase"], record["install_attempts"]) for record in records] == [("completed", 1)]
        assert [boot.version for boot in fleet.nodes[node_id].boots] == ["1.0.0", "2.0.0"]
        assert proven_slot(fleet, node_id) == "B"


def second_wave_moves(fleet: LocalFleet, rollout_id: str) -> bool:
    return any(target["wave"] == 2 and target["state"] != "waiting" for target in targets(fleet, rollout_id))
