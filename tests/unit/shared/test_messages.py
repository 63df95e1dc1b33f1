"""Messages evolve by addition: what a newer or an older side sends is understood."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from shared.images import Image
from shared.messages import (
    CheckResult,
    Event,
    HealthPolicy,
    HealthReport,
    Model,
    NodeFacts,
    Order,
    RollbackRecord,
    Schedule,
    UpdateSpec,
    new_id,
)
from shared.slots import Slot
from shared.states import CancelAnswer, EventKind, OrderKind, Phase, RollbackType, ScheduleState, Verdict
from shared.windows import MaintenanceWindow

AT = datetime(2026, 1, 27, 1, 2, 3, tzinfo=UTC)
IMAGE = Image(source="https://cdn.example.com/v2", sha256="a" * 64, size=1, version="2", compatible="x")
UPDATE = UpdateSpec(image=IMAGE, window=MaintenanceWindow(), start_at=AT, pre_update_hook="drain")
HEALTH = HealthReport(verdict=Verdict.DEGRADED, checked_at=AT, checks=(CheckResult(name="x", verdict=Verdict.HEALTHY),))
ROLLBACK = RollbackRecord(
    id="r", at=AT, type=RollbackType.MANUAL, reason="x", from_slot=Slot.B, to_slot=Slot.A, health=HEALTH
)
FACTS = NodeFacts(slot=Slot.A, version="1", boot_id="b", agent_version="0", good_slots=(Slot.A,))
FULL: list[Model] = [
    Order(id="o", kind=OrderKind.UPDATE, node_id="n", seq=1, issued_at=AT, expires_at=AT, update=UPDATE),
    Event(
        id="e",
        kind=EventKind.OUTCOME,
        node_id="n",
        seq=1,
        at=AT,
        phase=Phase.PROVING,
        state=ScheduleState.FAILED,
        facts=FACTS,
        health=HEALTH,
        rollback=ROLLBACK,
        cancel_answer=CancelAnswer.TOO_LATE,
    ),
    Schedule(id="s", state=ScheduleState.PENDING, phase=Phase.PENDING, update=UPDATE, created_at=AT, finished_at=AT),
]
named = pytest.mark.parametrize("message", FULL, ids=lambda message: type(message).__name__)


def newer(value: Any) -> Any:
    """Return JSON as a newer version might send it: with a field more in every object."""
    if isinstance(value, dict):
        return {key: newer(item) for key, item in value.items()} | {"added_later": {"deep": [1]}}
    return [newer(item) for item in value] if isinstance(value, list) else value


@named
def test_a_message_survives_the_wire(message: Model) -> None:
    for exclude_none in (False, True):
        text = message.model_dump_json(exclude_none=exclude_none)
        assert type(message).model_validate_json(text) == message


@named
def test_fields_of_a_newer_version_are_ignored_at_every_depth(message: Model) -> None:
    text = json.dumps(newer(json.loads(message.model_dump_json())))

    assert type(message).model_validate_json(text) == message


@pytest.mark.parametrize(
    ("model", "oldest"),
    [
        (Order, {"id": "o", "kind": "rollback", "node_id": "n", "seq": 1, "issued_at": "2026-01-27T00:00:00Z"}),
        (Event, {"id": "e", "kind": "hello", "node_id": "n", "seq": 1, "at": "2026-01-27T00:00:00Z"}),
        (UpdateSpec, {"image": {"source": "file:///x", "sha256": "a" * 64}}),
        (HealthPolicy, {}),
        (CheckResult, {"name": "x", "verdict": "healthy"}),
        (HealthReport, {"verdict": "healthy", "checked_at": "2026-01-27T00:00:00Z"}),
        (NodeFacts, {"slot": "A", "version": "1", "boot_id": "b", "agent_version": "0"}),
        (
            RollbackRecord,
            {"id": "r", "at": "2026-01-27T00:00:00Z", "type": "Manual", "reason": "", "from_slot": "A", "to_slot": "B"},
        ),
        (Schedule, {"id": "s", "state": "Pending", "phase": "pending", "created_at": "2026-01-27T00:00:00Z"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_the_first_version_sent_is_enough_for_ever(model: type[BaseModel], oldest: dict[str, object]) -> None:
    required = {name for name, field in model.model_fields.items() if field.is_required()}

    assert model.model_validate(oldest)
    assert required <= set(oldest)


@pytest.mark.parametrize("kind", [kind for kind in OrderKind if kind is not OrderKind.UPDATE])
def test_only_an_update_order_carries_an_update(kind: OrderKind) -> None:
    fields = {"id": "o", "node_id": "n", "seq": 1, "issued_at": AT, "target": "t"}

    with pytest.raises(ValidationError, match="an update order, and no other, carries an update"):
        Order(kind=kind, update=UPDATE, **fields)
    with pytest.raises(ValidationError, match="an update order, and no other, carries an update"):
        Order(kind=OrderKind.UPDATE, **fields)


@pytest.mark.parametrize("kind", [OrderKind.CANCEL, OrderKind.GRANT])
def test_an_order_about_another_names_it(kind: OrderKind) -> None:
    with pytest.raises(ValidationError, match=f"a {kind} order must name its target order"):
        Order(id="o", kind=kind, node_id="n", seq=1, issued_at=AT)


@pytest.mark.parametrize(
    "change",
    [{"seq": 0}, {"issued_at": "2026-01-27T00:00:00"}, {"reason": "x" * 4097}, {"kind": "explode"}],
    ids=["sequence from 0", "no time zone", "endless reason", "unknown kind"],
)
def test_an_order_with_a_mistake_is_refused(change: dict[str, object]) -> None:
    order = {"id": "o", "kind": "rollback", "node_id": "n", "seq": 1, "issued_at": AT} | change

    with pytest.raises(ValidationError):
        Order.model_validate(order)


@pytest.mark.parametrize(
    "change",
    [
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"retry_interval": 0},
        {"max_retries": -1},
    ],
    ids=str,
)
def test_a_health_policy_that_never_ends_or_never_begins_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HealthPolicy.model_validate(change)


def test_the_health_policy_has_the_documented_defaults() -> None:
    assert HealthPolicy() == HealthPolicy(timeout=300, retry_interval=10, max_retries=30)


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
