"""Rollout, wave and target as rows, and back. Columns bear the names of the fields, but for ``spec``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import Row

from controller.rollout.model import Rollout, Target, Wave

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


def wave_from(row: Row[Any]) -> Wave:
    """Return the wave in ``row``."""
    return Wave(**{name: getattr(row, name) for name in _WAVE if name != "index"}, index=row._mapping["index"])  # noqa: SLF001 - a row is a tuple, whose ``index`` is a method


def target_from(row: Row[Any]) -> Target:
    """Return the target in ``row``, which may carry other tables' columns too."""
    return Target(**{name: getattr(row, name) for name in _TARGET})
