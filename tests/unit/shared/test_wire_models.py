"""Every model survives the way to a message and back; every wrong message is refused by field and value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import wire
from shared.errors import InputError
from shared.images import Image
from shared.messages import (
    CheckResult,
    HealthPolicy,
    HealthReport,
    NodeFacts,
    RollbackRecord,
    Schedule,
    UpdateSpec,
)
from shared.proto import common_pb2 as pb
from shared.slots import Slot
from shared.states import Phase, RollbackType, ScheduleState, Verdict
from shared.windows import MaintenanceWindow

_TEXT = st.text(max_size=40)
_OFFSETS = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
_INSTANTS = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9000, 1, 1), timezones=_OFFSETS)  # noqa: DTZ001 - hypothesis adds the zone
_IMAGES = st.builds(
    Image,
    source=st.sampled_from(["http://cdn.example.com/a", "https://h:8443/b?x=1", "file:///srv/image"]),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    size=st.none() | st.integers(1, 2**62),
    version=_TEXT,
    architecture=_TEXT,
    compatible=_TEXT,
)
_POLICIES = st.builds(
    HealthPolicy,
    timeout=st.floats(0.001, 86400),
    retry_interval=st.floats(0.001, 3600),
    max_retries=st.integers(0, 10000),
)
_WINDOWS = st.builds(
    MaintenanceWindow,
    start=st.times().map(lambda time: time.strftime("%H:%M")),
    minutes=st.integers(1, 7 * 24 * 60),
    days=st.sets(st.sampled_from(["mon", "tue", "sun"]), min_size=1).map(tuple),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo"]),
)
_UPDATES = st.builds(
    UpdateSpec,
    image=_IMAGES,
    auto_rollback=st.booleans(),
    health=_POLICIES,
    start_at=st.none() | _INSTANTS,
    window=st.none() | _WINDOWS,
    needs_grant=st.just(value=False),  # it stays between controller and node
    pre_update_hook=_TEXT,
    post_update_hook=_TEXT,
    lift_denial=st.booleans(),
)
_SCHEDULES = st.builds(
    Schedule,
    id=_TEXT,
    state=st.sampled_from(ScheduleState),
    phase=st.sampled_from(Phase),
    update=_UPDATES,
    node_id=_TEXT,
    order_id=_TEXT,
    rollout_id=_TEXT,
    created_at=_INSTANTS,
    started_at=st.none() | _INSTANTS,
    finished_at=st.none() | _INSTANTS,
    error_kind=_TEXT,
    reason=_TEXT,
    origin=st.sampled_from(["node", "fleet"]),
)
_CHECKS = st.builds(
    CheckResult,
    name=_TEXT,
    verdict=st.sampled_from(Verdict),
    critical=st.booleans(),
    message=_TEXT,
    duration_ms=st.floats(0, 1e9),
)
_REPORTS = st.builds(
    HealthReport,
    verdict=st.sampled_from(Verdict),
    checked_at=_INSTANTS,
    checks=st.lists(_CHECKS, max_size=3).map(tuple),
    rounds=st.integers(0, 10000),
)
_RECORDS = st.builds(
    RollbackRecord,
    id=_TEXT,
    at=_INSTANTS,
    type=st.sampled_from(RollbackType),
    reason=_TEXT,
    kind=_TEXT,
    from_slot=st.sampled_from(Slot),
    to_slot=st.sampled_from(Slot),
    from_version=_TEXT,
    to_version=_TEXT,
    order_id=_TEXT,
    schedule_id=_TEXT,
    rollout_id=_TEXT,
    health=st.none() | _REPORTS,
)
_FACTS = st.builds(
    NodeFacts,
    slot=st.sampled_from(Slot),
    version=_TEXT,
    boot_id=_TEXT,
    agent_version=_TEXT,
    architecture=_TEXT,
    compatible=_TEXT,
    good_slots=st.lists(st.sampled_from(Slot), max_size=2).map(tuple),
)


@given(_SCHEDULES)
def test_a_schedule_with_its_update_survives_the_wire(schedule: Schedule) -> None:
    raw = wire.schedule_to_proto(schedule).SerializeToString()

    back = wire.schedule_from_proto(pb.Schedule.FromString(raw))

    assert back == schedule


@given(_RECORDS, _TEXT)
def test_a_rollback_record_survives_the_wire(record: RollbackRecord, node_id: str) -> None:
    raw = wire.rollback_to_proto(record, node_id).SerializeToString()

    message = pb.RollbackRecord.FromString(raw)

    assert wire.rollback_from_proto(message) == record
    assert message.node_id == node_id


@given(_FACTS)
def test_node_facts_survive_the_wire(facts: NodeFacts) -> None:
    raw = wire.facts_to_proto(facts).SerializeToString()

    back = wire.facts_from_proto(pb.NodeFacts.FromString(raw))

    assert back == facts


@given(_INSTANTS)
def test_an_instant_keeps_its_microseconds_and_comes_back_in_utc(instant: datetime) -> None:
    stamp = wire.instant_to_proto(instant)

    back = wire.instant_from_proto(pb.RollbackRecord(at=stamp), "at")

    assert back == instant
    assert back is not None
    assert back.tzinfo is UTC


def test_fields_that_are_not_said_take_the_models_defaults() -> None:
    message = pb.UpdateSpec(image=pb.Image(source="file:///srv/image", sha256="0" * 64))

    update = wire.update_from_proto(message)

    assert update == UpdateSpec(image=Image(source="file:///srv/image", sha256="0" * 64))
    assert update.health.max_retries == 30


def test_zero_retries_are_said_and_not_a_default() -> None:
    policy = pb.HealthPolicy(max_retries=0)

    update = wire.update_from_proto(pb.UpdateSpec(image=_image(), health=policy))

    assert update.health.max_retries == 0


def _image(**changes: Any) -> pb.Image:
    given: dict[str, Any] = {"source": "http://h/i", "sha256": "a" * 64, **changes}
    return pb.Image(**given)


@pytest.mark.parametrize(
    ("update", "field", "value"),
    [
        pytest.param(pb.UpdateSpec(image=_image(sha256="abc")), "image.sha256", "'abc'", id="short sha256"),
        pytest.param(pb.UpdateSpec(), "image.source", "''", id="no image"),
        pytest.param(pb.UpdateSpec(image=_image(source="ftp://h/i")), "image.source", "'ftp://h/i'", id="scheme"),
        pytest.param(pb.UpdateSpec(image=_image(size=-1)), "image.size", "-1", id="size"),
        pytest.param(
            pb.UpdateSpec(image=_image(), health=pb.HealthPolicy(timeout_seconds=-3)),
            "health.timeout",
            "-3",
            id="timeout",
        ),
        pytest.param(
            pb.UpdateSpec(image=_image(), window=pb.MaintenanceWindow(start="25:00", minutes=1)),
            "window.start",
            "'25:00'",
            id="window start",
        ),
        pytest.param(
            pb.UpdateSpec(image=_image(), window=pb.MaintenanceWindow(start="02:00")),
            "window.minutes",
            "0",
            id="window without length",
        ),
        pytest.param(
            pb.UpdateSpec(image=_image(), window=pb.MaintenanceWindow(start="02:00", minutes=9, zone="Mars/Base")),
            "window.zone",
            "'Mars/Base'",
            id="zone",
        ),
    ],
)
def test_a_wrong_field_is_refused_by_name_and_value(update: pb.UpdateSpec, field: str, value: str) -> None:
    with pytest.raises(InputError) as caught:
        wire.update_from_proto(update)

    assert caught.value.message.startswith(f"cannot accept update: {field}")
    assert value in caught.value.message
    assert field in caught.value.cure


def test_an_instant_beyond_the_calendar_is_refused() -> None:
    message = pb.UpdateSpec(image=_image())
    message.start_at.seconds = 10**15

    with pytest.raises(InputError, match="cannot accept start_at: 1000000000000000 s"):
        wire.update_from_proto(message)


def test_a_long_wrong_value_is_quoted_only_in_part() -> None:
    message = pb.UpdateSpec(image=_image(version="v" * 5000))

    with pytest.raises(InputError) as caught:
        wire.update_from_proto(message)

    assert "image.version" in caught.value.message
    assert len(caught.value.message) < 300
