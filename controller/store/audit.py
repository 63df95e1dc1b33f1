"""Who did what, when, to what, and why (requirement Q1). Rows are only ever added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from controller.store.tables import audit


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One line of the audit trail."""

    at: datetime
    actor: str  #: certificate identity, as in ``user:alice``; ``engine`` or ``ingest`` for the controller itself
    action: str  #: slug: ``rollout.create``, ``rollout.halt``, ``node.register``, ``event.refuse`` ...
    subject: str  #: id of the rollout, schedule, order or node
    reason: str = ""


class Audit:
    """The audit trail on one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, *, at: datetime, actor: str, action: str, subject: str, reason: str = "") -> None:
        """Record one action; it is part of the transaction that does it."""
        row = {"at": at, "actor": actor, "action": action, "subject": subject, "reason": reason}
        self._connection.execute(audit.insert(), row)

    def list(self, *, subject: str | None = None, action: str | None = None, limit: int = 100) -> Sequence[AuditEntry]:
        """Return the newest entries, newest first; of one ``subject`` or ``action`` when given."""
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if subject is not None:
            query = query.where(audit.c.subject == subject)
        if action is not None:
            query = query.where(audit.c.action == action)
        return [
            AuditEntry(at=row.at, actor=row.actor, action=row.action, subject=row.subject, reason=row.reason)
            for row in self._connection.execute(query)
        ]

    def count(self, action: str, since: datetime) -> int:
        """Return how often ``action`` was recorded at or after ``since``; bounds what a flood can write."""
        query = select(func.count()).select_from(audit).where(audit.c.action == action, audit.c.at >= since)
        return self._connection.execute(query).scalar_one()
