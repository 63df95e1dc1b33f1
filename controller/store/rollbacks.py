"""The fleet-wide rollback history (requirements R5, F2): what nodes reported, kept for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from controller.store.tables import rollbacks
from controller.store.upsert import insert
from shared.messages import RollbackRecord


@dataclass(frozen=True, kw_only=True)
class FleetRollback:
    """One node's rollback, as the fleet sees it."""

    node_id: str
    record: RollbackRecord


class Rollbacks:
    """The history on one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, node_id: str, record: RollbackRecord) -> bool:
        """Record a rollback; False when the record was there already (a node may report it twice)."""
        statement = insert(self._connection, rollbacks).values(
            id=record.id,
            node_id=node_id,
            at=record.at,
            type=record.type,
            kind=record.kind,
            rollout_id=record.rollout_id,
            order_id=record.order_id,
            from_version=record.from_version,
            record=record,
        )
        once = statement.on_conflict_do_nothing(index_elements=[rollbacks.c.node_id, rollbacks.c.id])
        return self._connection.execute(once.returning(rollbacks.c.id)).first() is not None

    def list(
        self, *, node_ids: Sequence[str] | None = None, rollout_id: str = "", limit: int = 0
    ) -> Sequence[FleetRollback]:
        """Return the history, oldest first; of some nodes or one rollout when given; the newest ``limit`` (0: all)."""
        query = select(rollbacks.c.node_id, rollbacks.c.record)
        if node_ids is not None:
            query = query.where(rollbacks.c.node_id.in_(node_ids))
        if rollout_id:
            query = query.where(rollbacks.c.rollout_id == rollout_id)
        query = query.order_by(rollbacks.c.at.desc(), rollbacks.c.id.desc())
        if limit:
            query = query.limit(limit)
        rows = self._connection.execute(query).all()
        return [FleetRollback(node_id=row.node_id, record=row.record) for row in reversed(rows)]
