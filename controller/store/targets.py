"""Single turns, found by order, schedule or node: what ingest and the per-node calls work with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, or_, select

from controller.rollout.model import Target
from controller.store.chunks import chunks
from controller.store.rows import UPDATE_TARGET, target_from, target_parameters
from controller.store.tables import rollouts, targets
from shared.errors import StaleVersionError
from shared.messages import UpdateSpec
from shared.states import TargetState


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One target, and what its rollout says about it."""

    rollout_id: str
    target: Target
    update: UpdateSpec
    created_at: datetime  #: of the rollout
    direct: bool


@dataclass(frozen=True)
class Change:
    """One target before and after."""

    rollout_id: str
    seen: Target
    new: Target


_SELECT: Select[Any] = select(targets, rollouts.c.spec, rollouts.c.created_at, rollouts.c.direct).select_from(
    targets.join(rollouts, rollouts.c.id == targets.c.rollout_id)
)
_OPEN = [state for state in TargetState if not state.final]
#: Targets that an error names.
_NAMED = 3
_UPDATE_SEEN = UPDATE_TARGET.where(
    targets.c.state == bindparam("seen_state", type_=targets.c.state.type),
    targets.c.order_id == bindparam("seen_order"),
)


class Targets:
    """The targets on one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def by_order(self, order_ids: Collection[str]) -> dict[str, Turn]:
        """Return the turns that these UPDATE or CANCEL orders belong to, by order id; others are left out."""
        wanted = set(order_ids) - {""}
        found: dict[str, Turn] = {}
        for part in chunks(wanted):
            query = _SELECT.where(or_(targets.c.order_id.in_(part), targets.c.cancel_order_id.in_(part)))
            for row in self._connection.execute(query):
                found.update(dict.fromkeys({row.order_id, row.cancel_order_id} & wanted, _turn(row)))
        return found

    def find(self, name: str) -> Sequence[Turn]:
        """Return the turns whose order id or schedule id is ``name``, newest rollout first.

        Nodes number their schedules themselves, so one schedule id can name turns of several nodes.
        """
        named = or_(targets.c.order_id == name, targets.c.schedule_id == name)
        return self._turns(_SELECT.where(named)) if name else []

    def of_nodes(self, node_ids: Collection[str] | None = None, *, limit: int = 0) -> Sequence[Turn]:
        """Return the turns of these nodes (None: of all), newest rollout first; 0: all."""
        if node_ids is None:
            return self._turns(_SELECT, limit)
        turns = [
            turn for part in chunks(node_ids) for turn in self._turns(_SELECT.where(targets.c.node_id.in_(part)), limit)
        ]
        turns.sort(key=lambda turn: (turn.created_at, turn.rollout_id), reverse=True)
        return turns[:limit] if limit else turns

    def busy(self, node_ids: Collection[str]) -> dict[str, str]:
        """Return the rollout in which each of these nodes has a turn that is not over; others are left out."""
        found: dict[str, str] = {}
        for part in chunks(node_ids):
            query = select(targets.c.node_id, targets.c.rollout_id)
            query = query.where(targets.c.node_id.in_(part), targets.c.state.in_(_OPEN))
            found.update((row.node_id, row.rollout_id) for row in self._connection.execute(query))
        return found

    def update(self, changes: Sequence[Change]) -> None:
        """Write changed targets, provided that each row still is in the state and under the order that was seen.

        The caller raises the rollouts' versions (``Rollouts.touch``).

        Raises:
            StaleVersionError: somebody else moved one of them since it was read.
        """
        if not changes:
            return
        rows = [
            target_parameters(each.rollout_id, each.new)
            | {"seen_state": each.seen.state, "seen_order": each.seen.order_id}
            for each in sorted(changes, key=lambda each: (each.rollout_id, each.new.node_id))
        ]
        if self._connection.execute(_UPDATE_SEEN, rows).rowcount != len(rows):
            names = ", ".join(f"{each.new.node_id} in {each.rollout_id}" for each in changes[:_NAMED])
            raise StaleVersionError(f"cannot update {len(rows)} targets: somebody else moved one ({names} ...)")

    def _turns(self, query: Select[Any], limit: int = 0) -> list[Turn]:
        query = query.order_by(rollouts.c.created_at.desc(), rollouts.c.id.desc(), targets.c.rank)
        if limit:
            query = query.limit(limit)
        return [_turn(row) for row in self._connection.execute(query)]


def _turn(row: Row[Any]) -> Turn:
    return Turn(
        rollout_id=row.rollout_id,
        target=target_from(row),
        update=row.spec,
        created_at=row.created_at,
        direct=row.direct,
    )
