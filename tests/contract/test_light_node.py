"""A light node reports what a real executor reports, event for event; so runs at scale speak for the real thing.

Both take the same orders from the same Redis. The real one is a process with a GPT image and squashfs releases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.light_node import LightFleet
from deploy.local.simulated import SimulatedMachine
from deploy.local.waiting import wait_until
from shared.errors import DigestMismatchError
from shared.messages import UpdateSpec
from shared.signing import Signer, private_from_pem, public_from_text
from shared.states import EventKind, OrderKind, Phase
from tests.support.fleet_orders import FleetOrders
from tests.support.real_node import RealNode, Workshop

LIGHT = "node-light"


@dataclass(frozen=True)
class Story:
    """What happens to one update."""

    bad: bool = False  #: the release's service does not start
    digest: bool = False  #: the bytes are not those that the order names
    cancelled: bool = False  #: withdrawn while it is staged
    auto_rollback: bool = True
    end: str = "completed"


STORIES = {
    "success": Story(),
    "bad-image": Story(digest=True, end="failed"),
    "unhealthy": Story(bad=True, end="rolled_back"),
    "unhealthy-kept": Story(bad=True, auto_rollback=False, end="failed"),
    "cancelled": Story(cancelled=True, end="cancelled"),
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def node(workshop: Workshop, tmp_path: Path, redis_url: str) -> Iterator[RealNode]:
    real = RealNode(workshop, tmp_path / "node", redis_url=redis_url)
    real.start()
    yield real
    real.close()


@pytest.fixture
def light(workshop: Workshop, redis_url: str) -> Iterator[LightFleet]:
    folder = workshop.ca.folder_of("node", LIGHT)
    if not folder.exists():
        workshop.ca.issue("node", LIGHT)
    signer = Signer(LIGHT, private_from_pem((folder / "events.key").read_bytes()))
    key = public_from_text((workshop.ca.folder / "orders.pub").read_text())
    fleet = LightFleet(redis_url, key, {LIGHT: signer}, machine_of=lambda _: SimulatedMachine(), poll_seconds=0.05)
    fleet.start()
    yield fleet
    fleet.stop()


def tell(orders: FleetOrders, spec: UpdateSpec, story: Story) -> list[tuple[object, ...]]:
    """Send the story's orders, wait for its end, and return what was reported, without names and times."""

    def has(kind: EventKind, phase: Phase | None = None) -> bool:
        return any(e.kind is kind and (phase is None or e.phase is phase) for e in orders.events())

    wait_until(lambda: has(EventKind.HELLO), "the node's hello")
    orders.send(OrderKind.UPDATE, "update", spec)
    if not story.digest:
        wait_until(lambda: has(EventKind.PHASE, Phase.STAGED), "the update to be staged")
        kind = OrderKind.CANCEL if story.cancelled else OrderKind.GRANT
        orders.send(kind, "second", target="update", reason="")
    wait_until(lambda: has(EventKind.OUTCOME), "the outcome")
    return [
        (
            e.kind,
            e.phase,
            e.state,
            e.error_kind,
            e.cancel_answer,
            e.order_id,
            e.schedule_id,
            e.health and e.health.verdict,
        )
        for e in orders.events()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
def test_a_light_node_reports_what_a_real_executor_reports(
    node: RealNode, light: LightFleet, redis_url: str, name: str
) -> None:
    story, workshop = STORIES[name], node.workshop
    spec = node.spec(workshop.bad if story.bad else workshop.new, needs_grant=True, auto_rollback=story.auto_rollback)
    if story.digest:
        wrong = spec.image.model_copy(update={"sha256": "0" * 64})
        spec = spec.model_copy(update={"image": wrong})
        light.nodes[LIGHT].machine.failures["flash"] = [DigestMismatchError()]
    if story.bad:
        light.nodes[LIGHT].machine.unhealthy[spec.image.version] = "service"

    of_the_real_one = tell(FleetOrders(redis_url, workshop.ca), spec, story)
    of_the_light_one = tell(FleetOrders(redis_url, workshop.ca, LIGHT), spec, story)

    assert of_the_light_one == of_the_real_one
    assert str(of_the_real_one[-1][1]) == story.end
    numbers = [e.seq for e in FleetOrders(redis_url, workshop.ca, LIGHT).events()]
    assert numbers == list(range(1, len(numbers) + 1))
