"""What an update waits for, and until when. Pure: the present instant is handed in."""

from __future__ import annotations

from datetime import datetime

from node_executor.records import Record

#: An instant to look again at, or None: something has to happen first.
Until = datetime | None


def may_begin(record: Record, now: datetime) -> tuple[bool, Until]:
    """Whether a pending record's time has come; else when it comes. An expired one begins, to be refused."""
    start = record.update.start_at if record.update else None
    if start is None or now >= start:
        return True, None
    if record.expires_at is not None and record.expires_at < start:
        return now > record.expires_at, record.expires_at
    return False, start


def leave_to_switch(record: Record, now: datetime) -> tuple[bool, Until]:
    """Whether a staged record may switch now; else when its window opens next.

    The window holds back the switch alone: preparing is harmless at any hour. A grant that is missing has no instant.
    """
    update = record.update
    if update is None or (update.needs_grant and not record.granted):
        return False, None
    if update.window is None or update.window.contains(now):
        return True, None
    return False, update.window.next_opening(now)
