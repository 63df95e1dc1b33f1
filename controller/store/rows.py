"""Rollout, wave and target as rows, and back. Columns bear the names of the fields, but for ``spec``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import Row, bindparam, update

from controller.rollout.model import Rollout, Target, Wave
from controller.store.tables import targets

_TARGET = tuple(field.name for field in fields(Target))
_WAVE = tuple(field.name for field in fields(Wave))
_ROLLOUT = (
    "id",
    "name",
    "policy",
    "created_by",
    "created_at",
    "state",
    "reason",
    "started_at",
    "finished_at",
    "request_digest",
    "direct",
)


#: One target by its key, all columns: prepared once, for many rows at a time.
UPDATE_TARGET = (
    update(targets)
    .where(targets.c.rollout_id == bindparam("in_rollout"), targets.c.node_id == bindparam("of_node"))
    .values({name: bindparam(f"new_{name}", type_=targets.c[name].type) for name in _TARGET if name != "node_id"})
)


def rollout_row(rollout: Rollout) -> dict[str, Any]:
    """Return the rollout's own columns; version and lease are the repository's."""
    row = {name: getattr(rollout, name) for name in _ROLLOUT}
    key = rollout.idempotency_key or None  # NULL, for several may have none
    return row | {"spec": rollout.update, "idempotency_key": key}


def wave_row(rollout_id: str, wave: Wave) -> dict[str, Any]:
    """Return one wave's columns."""
    return {"rollout_id": rollout_id} | {name: getattr(wave, name) for name in _WAVE}


def target_row(rollout_id: str, target: Target) -> dict[str, Any]:
    """Return one target's columns."""
    return {"rollout_id": rollout_id} | {name: getattr(target, name) for name in _TARGET}


def target_parameters(rollout_id: str, target: Target) -> dict[str, Any]:
    """Return the parameters of ``UPDATE_TARGET``."""
    values = {f"new_{name}": getattr(target, name) for name in _TARGET if name != "node_id"}
    return values | {"in_rollout": rollout_id, "of_node": target.node_id}


def wave_from(row: Row[Any]) -> Wave:
    """Return the wave in ``row``."""
    return Wave(**{name: getattr(row, name) for name in _WAVE if name != "index"}, index=row._mapping["index"])  # noqa: SLF001 - a row is a tuple, whose ``index`` is a method


def target_from(row: Row[Any]) -> Target:
    """Return the target in ``row``, which may carry other tables' columns too."""
    return Target(**{name: getattr(row, name) for name in _TARGET})
