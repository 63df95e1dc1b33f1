"""kill -9 of the real executor in each phase and effect of the table, then a restart by its supervisor.

Nothing is simulated but the kernel: the executor is a process, the disk a GPT image, the images are squashfs, orders
come through Redis. The cases are the steps of the table itself. Each ends as the update would have ended undisturbed,
with a proven slot running and nothing armed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.local.waiting import wait_until
from node_executor.machine import TABLE, Effect
from shared.slots import Slot
from shared.states import OrderKind, Phase
from tests.support.fleet_orders import FleetOrders
from tests.support.real_node import RealNode, Workshop

#: Every (phase, effect) that the machine can be in, straight from the table; PENDING is where it begins.
STEPS = sorted({(step.phase, step.effect) for step in TABLE.values()} | {(Phase.PENDING, None)}, key=str)
#: Which way an update must go to come to a phase; the rest are on the way of a good one.
BAD = (Phase.ROLLING_BACK, Phase.ROLLED_BACK)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def node(workshop: Workshop, tmp_path: Path, redis_url: str) -> Iterator[RealNode]:
    real = RealNode(workshop, tmp_path / "node", redis_url=redis_url)
    real.start()
    yield real
    real.close()


def expected(phase: Phase) -> set[str]:
    """Return how an update that was killed in ``phase`` has to end."""
    if phase in (Phase.FAILED, Phase.CANCELLED):
        return {phase.value}
    return {"rolled_back"} if phase in BAD else {"completed"}


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "effect"), STEPS, ids=lambda value: str(value or "waiting"))
def test_a_killed_executor_takes_the_update_up_again(
    node: RealNode, redis_url: str, phase: Phase, effect: Effect | None
) -> None:
    orders = FleetOrders(redis_url, node.workshop.ca)
    moment = f"{effect}.before"
    waits = {"start_at": datetime.now(UTC) + timedelta(seconds=3)} if phase is Phase.PENDING else {}
    spec = node.spec(node.workshop.bad if phase in BAD else node.workshop.new, needs_grant=True, **waits)
    if phase is Phase.FAILED:
        spec = node.spec(node.workshop.new, pre_update_hook="there-is-no-such-hook")
    if effect is not None and effect is not Effect.AWAIT_LEAVE:
        node.hold(moment)

    orders.send(OrderKind.UPDATE, "update", spec)
    if phase is Phase.CANCELLED:
        node.wait_phase("update", Phase.STAGED)
        orders.send(OrderKind.CANCEL, "cancel", target="update")
    elif phase in (Phase.PENDING, Phase.STAGED):
        node.wait_phase("update", phase)
    elif phase not in (Phase.FETCHING, Phase.FLASHING, Phase.VERIFYING, Phase.FAILED):
        node.wait_phase("update", Phase.STAGED)
        orders.send(OrderKind.GRANT, "grant", target="update")
    if effect is not None and effect is not Effect.AWAIT_LEAVE:
        node.wait_held(moment)
    assert node.record("update")["phase"] == phase
    killed = node.machine.pid
    node.machine.kill_executor()
    node.let_go(moment)
    wait_until(lambda: node.machine.pid not in (None, killed), "the executor to be started again")
    if phase in (Phase.PENDING, Phase.FETCHING, Phase.FLASHING, Phase.VERIFYING, Phase.STAGED):
        orders.send(OrderKind.GRANT, "grant", target="update")

    record = node.wait_final("update")
    assert record["phase"] in expected(phase), record["reason"]
    wait_until(lambda: bool(orders.outcomes("update")), "the outcome to reach Redis")
    assert {outcome.phase for outcome in orders.outcomes("update")} == {record["phase"]}
    slots = node.slots()
    running = node.machine.boots[-1].slot
    assert running is (Slot.B if record["phase"] == "completed" else Slot.A)
    assert slots[running].successful
    assert all(status.successful or not status.bootable for status in slots.values())
    assert record["install_attempts"] <= 2
