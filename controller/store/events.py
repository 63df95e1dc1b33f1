"""The nodes' events as they came, each once: the inbox that makes at-least-once delivery harmless."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from controller.store.tables import events
from controller.store.upsert import insert
from shared.messages import Event


class Events:
    """The inbox on one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_new(self, batch: Sequence[Event], received_at: datetime) -> list[Event]:
        """Store the events not seen before, and return those, in the order given.

        An event is the same when node and id are the same: no node can shadow another's event.
        """
        first: dict[tuple[str, str], Event] = {}
        for event in batch:
            first.setdefault((event.node_id, event.id), event)
        if not first:
            return []
        # The key decides, in one statement: asking first would read more the longer events are kept.
        new = insert(self._connection, events).on_conflict_do_nothing().returning(events.c.node_id, events.c.id)
        rows = self._connection.execute(new, [_row(event, received_at) for event in first.values()])
        fresh = {(row.node_id, row.id) for row in rows}
        return [event for key, event in first.items() if key in fresh]

    def list(self, *, node_id: str | None = None, order_id: str | None = None, limit: int = 100) -> Sequence[Event]:
        """Return the newest events, newest first; of one node or one order when given."""
        query = select(events.c.event).order_by(events.c.received_at.desc(), events.c.seq.desc()).limit(limit)
        if node_id is not None:
            query = query.where(events.c.node_id == node_id)
        if order_id is not None:
            query = query.where(events.c.order_id == order_id)
        return list(self._connection.execute(query).scalars())

    def forget_before(self, instant: datetime) -> int:
        """Delete events received before ``instant``; return how many. Outcomes live on in targets and history."""
        return self._connection.execute(events.delete().where(events.c.received_at < instant)).rowcount


def _row(event: Event, received_at: datetime) -> dict[str, Any]:
    return {
        "id": event.id,
        "node_id": event.node_id,
        "seq": event.seq,
        "kind": event.kind,
        "at": event.at,
        "received_at": received_at,
        "order_id": event.order_id,
        "rollout_id": event.rollout_id,
        "event": event,
    }
