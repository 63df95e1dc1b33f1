"""Looks after what no event and no call looks after: events that never came, and events that are old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from controller.metrics import Metrics
from controller.store.store import Store

log = structlog.get_logger(__name__)

#: Seconds between two rounds.
PAUSE = 60.0


class Housekeeping:
    """Tells of gaps in nodes' numbers, and forgets events received longer ago than ``keep``.

    What old events meant lives on in turns, orders, nodes and the rollback history; ``keep`` is far longer than any
    queue holds a duplicate.
    """

    def __init__(self, store: Store, *, clock: Callable[[], datetime], metrics: Metrics, keep: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._keep = keep
        self._gaps: dict[str, int] = {}

    def step(self) -> float:
        """Do one round; return the seconds to pause.

        Raises:
            TransportError: the database cannot be reached.
        """
        with self._store.transaction() as tx:
            forgotten = tx.events.forget_before(self._clock() - self._keep)
            gaps = tx.nodes.gaps()
        if forgotten:
            log.info("old events forgotten", events=forgotten)
        self._tell(gaps)
        return PAUSE

    def _tell(self, gaps: dict[str, int]) -> None:
        self._metrics.events_missing.set(sum(gaps.values()))
        for node_id, missing in gaps.items():
            if missing != self._gaps.get(node_id):
                # Outcomes are asked for again by dispatch; this says that Redis lost what a node had handed over.
                log.warning("events never came", node_id=node_id, missing=missing)
        self._gaps = gaps
