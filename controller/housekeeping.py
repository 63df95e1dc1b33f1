"""Forgets events that are old: what they meant lives on in turns, orders, nodes and the rollback history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from controller.store.store import Store

log = structlog.get_logger(__name__)

#: Seconds between two rounds.
PAUSE = 3600.0


class Housekeeping:
    """Deletes events received longer ago than ``keep``, which is far longer than any queue holds a duplicate."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime], keep: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._keep = keep

    def step(self) -> float:
        """Do one round; return the seconds to pause.

        Raises:
            TransportError: the database cannot be reached.
        """
        with self._store.transaction() as tx:
            forgotten = tx.events.forget_before(self._clock() - self._keep)
        if forgotten:
            log.info("old events forgotten", events=forgotten)
        return PAUSE
