"""The shared models and their messages, both directions side by side."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ValidationError

from shared.errors import InputError
from shared.messages import (
    CheckResult,
    HealthReport,
    NodeFacts,
    RollbackRecord,
    Schedule,
    UpdateSpec,
)
from shared.proto import common_pb2 as pb
from shared.windows import MaintenanceWindow

M = TypeVar("M", bound=BaseModel)

#: Characters of a wrong value that an error quotes.
_QUOTED = 120


def invalid(error: ValidationError, what: str) -> InputError:
    """Return the error for people: the first thing wrong in ``what``, by field and value."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    # Our own validators quote the value themselves; pydantic's do not.
    value = "" if first["type"] in ("value_error", "missing") else f" {first['input']!r:.{_QUOTED}}"
    return InputError(
        f"cannot accept {what}: {field or what}{value}: {text}",
        cure=f"correct {field} and send the request again" if field else "correct the request and send it again",
    )


def _build(model: type[M], data: dict[str, Any], what: str) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise invalid(error, what) from error


def _said(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - values of any message field
    """Return the fields that are not at their message default, so that the model's defaults apply to the rest."""
    return {name: value for name, value in fields.items() if value not in (None, "", 0)}


# --- instants -----------------------------------------------------------------------------------------------


def instant_to_proto(instant: datetime | None) -> Timestamp | None:
    """Return an aware instant, to the microsecond, or None as an absent message."""
    if instant is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def instant_from_proto(message: Any, field: str) -> datetime | None:  # noqa: ANN401 - any message with a timestamp
    """Return ``message.field`` in UTC, or None if it is absent.

    Raises:
        InputError: the instant lies outside of the years 1 to 9999.
    """
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(f"cannot accept {field}: {stamp.seconds} s is not an instant: {error}") from error


# --- updates ------------------------------------------------------------------------------------------------


def window_to_proto(window: MaintenanceWindow) -> pb.MaintenanceWindow:
    """Return the message of a maintenance window."""
    return pb.MaintenanceWindow(start=window.start, minutes=window.minutes, days=window.days, zone=window.zone)


def _window_data(message: pb.MaintenanceWindow) -> dict[str, Any]:
    # Start and length have no default on the wire: a window without them is a mistake worth a refusal.
    data = {"start": message.start, "minutes": message.minutes, **_said(zone=message.zone)}
    return {**data, "days": tuple(message.days)} if message.days else data


def window_from_proto(message: pb.MaintenanceWindow) -> MaintenanceWindow:
    """Return the maintenance window of a message.

    Raises:
        InputError: naming the field and its value.
    """
    return _build(MaintenanceWindow, _window_data(message), "window")


def update_to_proto(update: UpdateSpec) -> pb.UpdateSpec:
    """Return the message of an update. ``needs_grant`` stays behind: it is between controller and node."""
    image, health = update.image, update.health
    return pb.UpdateSpec(
        image=pb.Image(
            source=image.source,
            sha256=image.sha256,
            size=image.size or 0,
            version=image.version,
            architecture=image.architecture,
            compatible=image.compatible,
        ),
        auto_rollback=update.auto_rollback,
        health=pb.HealthPolicy(
            timeout_seconds=health.timeout,
            retry_interval_seconds=health.retry_interval,
            max_retries=health.max_retries,
        ),
        start_at=instant_to_proto(update.start_at),
        window=window_to_proto(update.window) if update.window else None,
        pre_update_hook=update.pre_update_hook,
        post_update_hook=update.post_update_hook,
        lift_denial=update.lift_denial,
    )


def _image_data(message: pb.Image) -> dict[str, Any]:
    # source and sha256 have no default: passed on even when empty, so that the refusal quotes them.
    return {
        "source": message.source,
        "sha256": message.sha256,
        "version": message.version,
        "architecture": message.architecture,
        "compatible": message.compatible,
        **_said(size=message.size),
    }


def _policy_data(message: pb.HealthPolicy) -> dict[str, Any]:
    data = _said(timeout=message.timeout_seconds, retry_interval=message.retry_interval_seconds)
    return {**data, "max_retries": message.max_retries} if message.HasField("max_retries") else data


def update_from_proto(message: pb.UpdateSpec) -> UpdateSpec:
    """Return the update of a message.

    Raises:
        InputError: naming the field and its value.
    """
    return _build(UpdateSpec, _update_data(message), "update")


def _update_data(message: pb.UpdateSpec) -> dict[str, Any]:
    return {
        "image": _image_data(message.image),
        "auto_rollback": message.auto_rollback,
        "health": _policy_data(message.health),
        "start_at": instant_from_proto(message, "start_at"),
        "window": _window_data(message.window) if message.HasField("window") else None,
        "pre_update_hook": message.pre_update_hook,
        "post_update_hook": message.post_update_hook,
        "lift_denial": message.lift_denial,
    }


# --- what nodes tell ----------------------------------------------------------------------------------------


def schedule_to_proto(schedule: Schedule) -> pb.Schedule:
    """Return the message of a schedule."""
    return pb.Schedule(
        id=schedule.id,
        state=schedule.state,
        phase=schedule.phase,
        update=update_to_proto(schedule.update) if schedule.update else None,
        node_id=schedule.node_id,
        order_id=schedule.order_id,
        rollout_id=schedule.rollout_id,
        created_at=instant_to_proto(schedule.created_at),
        started_at=instant_to_proto(schedule.started_at),
        finished_at=instant_to_proto(schedule.finished_at),
        error_kind=schedule.error_kind,
        reason=schedule.reason,
        origin=schedule.origin,
    )


def schedule_from_proto(message: pb.Schedule) -> Schedule:
    """Return the schedule of a message.

    Raises:
        InputError: naming the field and its value.
    """
    data = {
        "id": message.id,
        "state": message.state,
        "phase": message.phase,
        "update": _update_data(message.update) if message.HasField("update") else None,
        "node_id": message.node_id,
        "order_id": message.order_id,
        "rollout_id": message.rollout_id,
        "created_at": instant_from_proto(message, "created_at"),
        "started_at": instant_from_proto(message, "started_at"),
        "finished_at": instant_from_proto(message, "finished_at"),
        "error_kind": message.error_kind,
        "reason": message.reason,
        **_said(origin=message.origin),
    }
    return _build(Schedule, data, "schedule")


def health_to_proto(report: HealthReport) -> pb.HealthReport:
    """Return the message of a health report."""
    checks = [
        pb.CheckResult(
            name=check.name,
            verdict=check.verdict,
            critical=check.critical,
            message=check.message,
            duration_ms=check.duration_ms,
        )
        for check in report.checks
    ]
    checked_at = instant_to_proto(report.checked_at)
    return pb.HealthReport(verdict=report.verdict, checked_at=checked_at, checks=checks, rounds=report.rounds)


def _check_data(message: pb.CheckResult) -> CheckResult:
    data = {
        "name": message.name,
        "verdict": message.verdict,
        "critical": message.critical,
        "message": message.message,
        "duration_ms": message.duration_ms,
    }
    return _build(CheckResult, data, "health check")


def health_from_proto(message: pb.HealthReport) -> HealthReport:
    """Return the health report of a message.

    Raises:
        InputError: naming the field and its value.
    """
    data = {
        "verdict": message.verdict,
        "checked_at": instant_from_proto(message, "checked_at"),
        "checks": tuple(_check_data(check) for check in message.checks),
        "rounds": message.rounds,
    }
    return _build(HealthReport, data, "health report")


def facts_to_proto(facts: NodeFacts) -> pb.NodeFacts:
    """Return the message of a node's facts."""
    return pb.NodeFacts(**facts.model_dump())


def facts_from_proto(message: pb.NodeFacts) -> NodeFacts:
    """Return the node's facts of a message.

    Raises:
        InputError: naming the field and its value.
    """
    return _build(NodeFacts, _plain(message, NodeFacts), "node facts")


def rollback_to_proto(record: RollbackRecord, node_id: str = "") -> pb.RollbackRecord:
    """Return the message of one entry of the rollback history; the record itself does not know its node."""
    data = record.model_dump(exclude={"at", "health"})
    health = health_to_proto(record.health) if record.health else None
    return pb.RollbackRecord(**data, at=instant_to_proto(record.at), health=health, node_id=node_id)


def rollback_from_proto(message: pb.RollbackRecord) -> RollbackRecord:
    """Return the rollback record of a message.

    Raises:
        InputError: naming the field and its value.
    """
    data = _plain(message, RollbackRecord)
    data["at"] = instant_from_proto(message, "at")
    data["health"] = health_from_proto(message.health) if message.HasField("health") else None
    return _build(RollbackRecord, data, "rollback record")


def _plain(message: Any, model: type[BaseModel]) -> dict[str, Any]:  # noqa: ANN401 - any of the messages
    """Return the fields that message and model have under one name."""
    names = [name for name in model.model_fields if name in message.DESCRIPTOR.fields_by_name]
    return {name: getattr(message, name) for name in names}
