"""Single turns, found by order, schedule or node: what ingest and the per-node calls work with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, or_, select, update

from controller.rollout.model import Target
from controller.store.chunks import chunks
from controller.store.rows import target_from, target_row
from controller.store.tables import rollouts, targets
from shared.errors import StaleVersionError
from shared.messages import UpdateSpec


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One target, and what its rollout says about it."""

    rollout_id: str
    target: Target
    update: UpdateSpec
    created_at: datetime  #: of the rollout
    direct: bool


class Targets:
    """The targets on one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def by_order(self, order_ids: Collection[str]) -> dict[str, Turn]:
        """Return the turns that these UPDATE or CANCEL orders belong to, by order id; others are left out."""
        wanted = set(order_ids) - {""}
        found: dict[str, Turn] = {}
        for part in chunks(wanted):
            query = _select().where(or_(targets.c.order_id.in_(part), targets.c.cancel_order_id.in_(part)))
            for row in self._connection.execute(query):
                found.update(dict.fromkeys({row.order_id, row.cancel_order_id} & wanted, _turn(row)))
        return found

    def find(self, name: str) -> Sequence[Turn]:
        """Return the turns whose order id or schedule id is ``name``, newest rollout first.

        Nodes number their schedules themselves, so one schedule id can name turns of several nodes.
        """
        named = or_(targets.c.order_id == name, targets.c.schedule_id == name)
        return self._turns(_select().where(named)) if name else []

    def of_nodes(self, node_ids: Collection[str] | None = None, *, limit: int = 0) -> Sequence[Turn]:
        """Return the turns of these nodes (None: of all), newest rollout first; 0: all."""
        if node_ids is None:
            return self._turns(_select(), limit)
        turns = [
            turn
            for part in chunks(node_ids)
            for turn in self._turns(_select().where(targets.c.node_id.in_(part)), limit)
        ]
        turns.sort(key=lambda turn: (turn.created_at, turn.rollout_id), reverse=True)
        return turns[:limit] if limit else turns

    def update(self, rollout_id: str, target: Target, *, seen: Target) -> None:
        """Write ``target``, provided that its row still is in the state and under the order of ``seen``.

        The caller raises the rollout's version (``Rollouts.touch``).

        Raises:
            StaleVersionError: somebody else moved it since ``seen`` was read.
        """
        where = (
            (targets.c.rollout_id == rollout_id)
            & (targets.c.node_id == target.node_id)
            & (targets.c.state == seen.state)
            & (targets.c.order_id == seen.order_id)
        )
        row = target_row(rollout_id, target)
        if self._connection.execute(update(targets).where(where).values(row)).rowcount == 0:
            raise StaleVersionError(f"cannot update {target.node_id} in {rollout_id}: it is no longer {seen.state}")

    def _turns(self, query: Select[Any], limit: int = 0) -> list[Turn]:
        query = query.order_by(rollouts.c.created_at.desc(), rollouts.c.id.desc(), targets.c.rank)
        if limit:
            query = query.limit(limit)
        return [_turn(row) for row in self._connection.execute(query)]


def _select() -> Select[Any]:
    joined = targets.join(rollouts, rollouts.c.id == targets.c.rollout_id)
    return select(targets, rollouts.c.spec, rollouts.c.created_at, rollouts.c.direct).select_from(joined)


def _turn(row: Row[Any]) -> Turn:
    return Turn(
        rollout_id=row.rollout_id,
        target=target_from(row),
        update=row.spec,
        created_at=row.created_at,
        direct=row.direct,
    )
