"""Rollouts, nodes and events for tests of the rollout core: small, with sensible defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from controller.rollout.changes import Settled, settle
from controller.rollout.model import FleetNode, Policy, Rollout, Target
from controller.rollout.plan import plan
from controller.rollout.progress import apply_event
from shared.images import Image
from shared.messages import Event, NodeFacts, UpdateSpec
from shared.slots import Slot
from shared.states import EventKind, ScheduleState

NOW = datetime(2026, 1, 27, 12, tzinfo=UTC)
IMAGE = Image(source="https://releases.example/os-2.img", sha256="ab" * 32, size=4096, version="2.0.0")
UPDATE = UpdateSpec(image=IMAGE, auto_rollback=True)


def seconds(number: float) -> datetime:
    """Return the instant ``number`` seconds after NOW."""
    return NOW + timedelta(seconds=number)


def node(node_id: str, *, version: str = "1.0.0", **values: Any) -> FleetNode:
    """Return a node that was seen just now and runs ``version`` from slot A."""
    facts = NodeFacts(slot=Slot.A, version=version, boot_id="boot-1", agent_version="0.1.0", good_slots=(Slot.A,))
    given: dict[str, Any] = {"id": node_id, "facts": facts, "last_seen": NOW} | values
    return FleetNode(**given)


def fleet(number: int) -> dict[str, FleetNode]:
    """Return ``number`` nodes by id."""
    return {each.id: each for each in (node(f"n{index}") for index in range(number))}


def rollout(
    nodes: Mapping[str, FleetNode], policy: Policy | None = None, update: UpdateSpec = UPDATE, **values: Any
) -> Rollout:
    """Return a planned rollout over ``nodes``."""
    policy = policy or Policy()
    drawn = plan(list(nodes.values()), policy, salt="rollout-20260127-001", now=NOW)
    given: dict[str, Any] = {
        "id": "rollout-20260127-001",
        "name": "two",
        "created_by": "user/alice",
        "created_at": NOW,
    } | values
    return Rollout(update=update, policy=policy, waves=drawn.waves, targets=drawn.targets, **given)


def order_ids() -> Callable[[], str]:
    """Return a source of order ids: o1, o2, ..."""
    numbers = count(1)
    return lambda: f"o{next(numbers)}"


def event(target: Target, kind: EventKind, seq: int = 1, **values: Any) -> Event:
    """Return an event about the target's order."""
    given = {"id": f"{target.node_id}-{seq}", "node_id": target.node_id, "at": NOW, "order_id": target.order_id}
    return Event(kind=kind, seq=seq, **(given | values))


def outcome(target: Target, state: ScheduleState, seq: int = 9, **values: Any) -> Event:
    """Return the outcome of the target's order."""
    return event(target, EventKind.OUTCOME, seq, state=state, **values)


def heard(before: Rollout, events: Iterable[Event], now: datetime = NOW) -> Rollout:
    """Return the rollout after the events, as ingest would store it."""
    targets = {target.node_id: target for target in before.targets}
    for each in events:
        targets[each.node_id] = apply_event(targets[each.node_id], each, now) or targets[each.node_id]
    return replace(before, targets=tuple(targets.values()))


class Drive:
    """A rollout that a test takes through time: settle, let nodes answer, settle again."""

    def __init__(self, nodes: Mapping[str, FleetNode], policy: Policy | None = None, **values: Any) -> None:
        self.nodes = dict(nodes)
        self.rollout = rollout(nodes, policy, **values)
        self.new_id = order_ids()
        self.orders: list[Any] = []
        self.settle(NOW)

    def settle(self, now: datetime = NOW) -> Settled:
        """Decide at ``now``."""
        settled = settle(self.rollout, self.nodes, now, self.new_id)
        self.rollout = settled.rollout
        self.orders += settled.orders
        return settled

    def finish(self, state: ScheduleState = ScheduleState.COMPLETED, *names: str, now: datetime = NOW) -> None:
        """Let the named nodes (none: all in flight) end their update in ``state``, then decide."""
        turns = [t for t in self.rollout.targets if t.in_flight and (not names or t.node_id in names)]
        self.rollout = heard(self.rollout, [outcome(target, state) for target in turns], now)
        self.settle(now)

    def in_flight(self) -> list[str]:
        """Return the nodes whose order is out."""
        return [target.node_id for target in self.rollout.targets if target.in_flight]
