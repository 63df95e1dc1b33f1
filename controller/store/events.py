"""The nodes' events as they came, each once: the inbox that makes at-least-once delivery harmless."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from controller.store.chunks import chunks
from controller.store.tables import events
from shared.messages import Event


class Events:
    """The inbox on one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_new(self, batch: Sequence[Event], received_at: datetime) -> list[Event]:
        """Store the events not seen before, and return those, in the order given.

        An event is the same when node and id are the same: no node can shadow another's event.

        Raises:
            ConflictError: another ingester stored one of them at this moment; do the batch again.
        """
        known, fresh = self._known(batch), []
        for event in batch:
            if (event.node_id, event.id) not in known:
                known.add((event.node_id, event.id))
                fresh.append(event)
        if fresh:
            self._connection.execute(events.insert(), [_row(each, received_at) for each in fresh])
        return fresh

    def _known(self, batch: Sequence[Event]) -> set[tuple[str, str]]:
        known: set[tuple[str, str]] = set()
        for part in chunks([each.id for each in batch]):
            rows = self._connection.execute(select(events.c.node_id, events.c.id).where(events.c.id.in_(part)))
            known.update((row.node_id, row.id) for row in rows)
        return known

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
