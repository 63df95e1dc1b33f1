"""Rollouts with their waves and targets: one aggregate, guarded by one version.

Who changes any part of a rollout raises its version, so of two controllers that decided from the same rows one is
told (``StaleVersionError``) and decides again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, update

from controller.rollout.model import Outline, Rollout, Target, Wave
from controller.store.chunks import chunks
from controller.store.rows import (
    UPDATE_TARGET,
    rollout_row,
    target_from,
    target_parameters,
    target_row,
    wave_from,
    wave_row,
)
from controller.store.tables import rollouts, targets, waves
from shared.errors import NotFoundError, StaleVersionError
from shared.states import RolloutState, TargetState

_OPEN = [state for state in RolloutState if not state.final]
_OPEN_TURNS = [state for state in TargetState if not state.final]


class Rollouts:
    """The rollouts on one transaction."""

    def __init__(self, connection: Connection, *, lock: bool = False) -> None:
        self._connection = connection
        self._lock = lock

    def insert(self, rollout: Rollout) -> Rollout:
        """Store a new rollout with its waves and targets; return it with version 1.

        Raises:
            ConflictError: its id or idempotency key is taken, or a node is not registered.
        """
        row = rollout_row(rollout) | {"version": 1, "lease_owner": ""}
        self._connection.execute(rollouts.insert(), row)
        if rollout.waves:
            self._connection.execute(waves.insert(), [wave_row(rollout.id, wave) for wave in rollout.waves])
        if rollout.targets:
            self._connection.execute(targets.insert(), [target_row(rollout.id, each) for each in rollout.targets])
        return replace(rollout, version=1)

    def get(self, rollout_id: str) -> Rollout:
        """Return one rollout with all its waves and targets; in a writer its row stays locked until the commit.

        Raises:
            NotFoundError: there is no such rollout.
        """
        found = self._find(rollouts.c.id == rollout_id, lock=self._lock)
        if found is None:
            raise NotFoundError(f"cannot find rollout {rollout_id}", cure="see osctl rollout list")
        return found

    def by_key(self, idempotency_key: str) -> Rollout | None:
        """Return the rollout that was created under ``idempotency_key``, if any."""
        return self._find(rollouts.c.idempotency_key == idempotency_key)

    def list(self, *, limit: int = 0, direct: bool | None = None) -> Sequence[Outline]:
        """Return rollouts in outline, newest first; 0: all; ``direct`` chooses one sort, None both."""
        wanted = select(rollouts.c.id).order_by(rollouts.c.created_at.desc(), rollouts.c.id.desc())
        if direct is not None:
            wanted = wanted.where(rollouts.c.direct == direct)
        if limit:
            wanted = wanted.limit(limit)
        ids = self._connection.execute(wanted).scalars().all()
        return [each for part in chunks(ids) for each in self._outlines(part)]

    def active(self) -> Sequence[str]:
        """Return the ids of the rollouts that are not settled, oldest first: what the engine has to look at."""
        awaited = select(targets.c.rollout_id).where(targets.c.state.in_(_OPEN_TURNS))
        query = select(rollouts.c.id).where(or_(rollouts.c.state.in_(_OPEN), rollouts.c.id.in_(awaited)))
        return self._connection.execute(query.order_by(rollouts.c.created_at, rollouts.c.id)).scalars().all()

    def save(self, rollout: Rollout, *, seen: Rollout) -> Rollout:
        """Write what differs between ``rollout`` and ``seen``, as it was loaded; return it with its new version.

        Waves and targets are neither added nor removed after ``insert``.

        Raises:
            StaleVersionError: somebody else saved it since ``seen`` was loaded; load and decide again.
        """
        where = (rollouts.c.id == rollout.id) & (rollouts.c.version == seen.version)
        row = rollout_row(rollout) | {"version": seen.version + 1}
        if self._connection.execute(update(rollouts).where(where).values(row)).rowcount == 0:
            raise StaleVersionError(f"cannot save rollout {rollout.id}: its version is no longer {seen.version}")
        waves_before, targets_before = set(seen.waves), {each.node_id: each for each in seen.targets}
        for wave in rollout.waves:
            if wave not in waves_before:
                self._update_wave(rollout.id, wave)
        moved = [target for target in rollout.targets if target != targets_before.get(target.node_id)]
        if moved:
            self._connection.execute(UPDATE_TARGET, [target_parameters(rollout.id, target) for target in moved])
        return replace(rollout, version=seen.version + 1)

    def touch(self, order_ids: Collection[str]) -> None:
        """Raise the versions of the rollouts that these orders belong to; on PostgreSQL this also locks their rows.

        For ingest, which changes single targets: call it before they are read. Rows are taken in the order of their
        ids, so that two transactions cannot lock each other out.
        """
        found: set[str] = set()
        for part in chunks(order_ids):
            named = or_(targets.c.order_id.in_(part), targets.c.cancel_order_id.in_(part))
            found.update(self._connection.execute(select(targets.c.rollout_id).where(named).distinct()).scalars())
        for rollout_id in sorted(found):
            raised = update(rollouts).where(rollouts.c.id == rollout_id).values(version=rollouts.c.version + 1)
            self._connection.execute(raised)

    def acquire_lease(self, rollout_id: str, owner: str, now: datetime, ttl: timedelta) -> bool:
        """Take or renew the right to decide on a rollout until ``now + ttl``; False while another owner holds it.

        The lease saves work; it is the version that keeps two controllers from both deciding. One that would last
        longer than ``ttl`` is from a clock that was ahead, and must not keep everybody out until that time comes.
        """
        over = or_(rollouts.c.lease_until <= now, rollouts.c.lease_until > now + ttl)
        free = or_(rollouts.c.lease_owner.in_(["", owner]), over)
        statement = update(rollouts).where(and_(rollouts.c.id == rollout_id, free))
        taken = self._connection.execute(statement.values(lease_owner=owner, lease_until=now + ttl))
        return taken.rowcount == 1

    def release_leases(self, owner: str) -> None:
        """Give back all that ``owner`` holds, for a quick take-over when a controller ends in good order."""
        statement = update(rollouts).where(rollouts.c.lease_owner == owner)
        self._connection.execute(statement.values(lease_owner="", lease_until=None))

    def _find(self, condition: ColumnElement[bool], *, lock: bool = False) -> Rollout | None:
        query = select(rollouts).where(condition)
        # SQLite needs and knows no FOR UPDATE: there the whole file is the writer's.
        row = self._connection.execute(query.with_for_update() if lock else query).first()
        if row is None:
            return None
        turns = self._connection.execute(select(targets).where(targets.c.rollout_id == row.id).order_by(targets.c.rank))
        return _rollout(row, self._waves_of([row.id])[row.id], [target_from(turn) for turn in turns])

    def _outlines(self, ids: Sequence[str]) -> Iterator[Outline]:
        rows = {row.id: row for row in self._connection.execute(select(rollouts).where(rollouts.c.id.in_(ids)))}
        numbers = select(targets.c.rollout_id, targets.c.state, func.count().label("n"))
        numbers = numbers.where(targets.c.rollout_id.in_(ids)).group_by(targets.c.rollout_id, targets.c.state)
        counts: defaultdict[str, dict[TargetState, int]] = defaultdict(dict)
        for row in self._connection.execute(numbers):
            counts[row.rollout_id][row.state] = row.n
        its_waves = self._waves_of(ids)
        for each in ids:
            yield Outline(rollout=_rollout(rows[each], its_waves[each], ()), counts=counts[each])

    def _waves_of(self, ids: Sequence[str]) -> Mapping[str, Sequence[Wave]]:
        found: defaultdict[str, Any] = defaultdict(list)
        query = select(waves).where(waves.c.rollout_id.in_(ids)).order_by(waves.c.index)
        for row in self._connection.execute(query):
            found[row.rollout_id].append(wave_from(row))
        return found

    def _update_wave(self, rollout_id: str, wave: Wave) -> None:
        where = (waves.c.rollout_id == rollout_id) & (waves.c.index == wave.index)
        self._connection.execute(update(waves).where(where).values(wave_row(rollout_id, wave)))


def _rollout(row: Row[Any], its_waves: Sequence[Wave], its_targets: Sequence[Target]) -> Rollout:
    return Rollout(
        id=row.id,
        name=row.name,
        update=row.spec,
        policy=row.policy,
        waves=tuple(its_waves),
        targets=tuple(its_targets),
        created_by=row.created_by,
        created_at=row.created_at,
        state=row.state,
        reason=row.reason,
        started_at=row.started_at,
        finished_at=row.finished_at,
        version=row.version,
        idempotency_key=row.idempotency_key or "",
        request_digest=row.request_digest,
        direct=row.direct,
    )
