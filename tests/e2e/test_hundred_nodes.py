"""A hundred real executors on one machine complete a rollout; the test states how long it took and what they weigh."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable

import psutil
import pytest

from deploy.local.fleet import FleetPlan
from tests.support.fleets import journal, proven_slot, roll_out, small_fleet, targets

MIB = 1 << 20
NODES = 100


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_virtual_nodes_complete_a_rollout(record_property: Callable[[str, object], None]) -> None:
    begun = time.monotonic()
    with small_fleet(FleetPlan(nodes=NODES, slot_mib=8, payload_mib=1, niceness=10)) as fleet:
        up = time.monotonic()
        release = fleet.build_release("2.0.0")
        rollout_id = roll_out(fleet, release, "--waves", "1,25%,100%")

        watched = fleet.try_osctl("rollout", "watch", rollout_id, "--timeout", "600s", timeout=700)

        done = time.monotonic()
        sizes = [psutil.Process(pid).memory_info().rss / MIB for node in fleet.nodes.values() if (pid := node.pid)]
        figures = {
            "nodes": NODES,
            "seconds until all are up": round(up - begun, 1),
            "seconds of the rollout": round(done - up, 1),
            "executor RSS, median MiB": round(statistics.median(sizes), 1),
            "executor RSS, largest MiB": round(max(sizes), 1),
        }
        record_property("figures", json.dumps(figures))
        assert watched.returncode == 0, watched.stdout + watched.stderr
        assert Counter(target["state"] for target in targets(fleet, rollout_id)) == {"succeeded": NODES}
        assert len(sizes) == NODES
        for node_id in fleet.node_ids:
            assert [record["install_attempts"] for record in journal(fleet, node_id)] == [1]
            assert proven_slot(fleet, node_id) == "B"
