"""Readable ids, counted per day: ``rollout-20260127-001``, ``sched-20260127-001`` (requirement S2).

The counter is raised by one SQL statement, so two controllers never hand out the same id. A number that a
rolled-back transaction drew is drawn again; past 999 the number simply grows longer.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection

from controller.store.tables import counters
from controller.store.upsert import insert


class Ids:
    """The daily counters on one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rollout(self, now: datetime) -> str:
        """Return the next rollout id of the UTC day of ``now``."""
        return self._next("rollout", now, 1)[0]

    def schedules(self, now: datetime, count: int) -> list[str]:
        """Return ``count`` schedule ids of the UTC day of ``now``, in order."""
        return self._next("sched", now, count)

    def _next(self, prefix: str, now: datetime, count: int) -> list[str]:
        if count == 0:
            return []
        day = now.astimezone(UTC).strftime("%Y%m%d")
        statement = insert(self._connection, counters).values(name=prefix, day=day, value=count)
        raised = statement.on_conflict_do_update(
            index_elements=[counters.c.name, counters.c.day], set_={"value": counters.c.value + count}
        )
        last: int = self._connection.execute(raised.returning(counters.c.value)).scalar_one()
        return [f"{prefix}-{day}-{number:03d}" for number in range(last - count + 1, last + 1)]
