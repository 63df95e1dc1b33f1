"""The engine: looks at every rollout that is not settled, and carries out what ``controller.rollout`` decides.

Rules:
- It remembers nothing. Each step derives from the database what should be true now, so that a lost wake-up, a crash
  anywhere or a second engine costs time and nothing else.
- A step first decides on a snapshot, which takes no lock; only where there is something to do it decides again on
  locked rows and commits. The lease keeps several engines from doing the same work, the version from doing it twice.
- One rollout that cannot be decided does not hold up the others.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from controller.enact import enact
from controller.rollout.decide import decide
from controller.rollout.model import FleetNode
from controller.store.store import Store, Transaction
from shared.errors import StaleVersionError, TransportError

log = structlog.get_logger(__name__)

#: An idle look is followed by a pause of at least this many times its own length, so that very large rollouts cost
#: a share of one core at most. A wake-up ends the pause all the same.
_IDLE_SHARE = 4.0


class Engine:
    """Decides for the fleet. Repeat ``step`` by a ``Loop``; wake the loop after each commit of ingest or API.

    Args:
        store: where everything lives.
        clock: returns the present, aware.
        dispatch: called after a commit that holds new orders, so that they leave at once.
        tick: seconds between two looks without a wake-up: deadlines and soak times are noticed this late at most.
        lease: how long another engine waits before it takes over from a dead one.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], datetime],
        dispatch: Callable[[], None],
        tick: float = 1.0,
        lease: timedelta = timedelta(seconds=15),
    ) -> None:
        self._store = store
        self._clock = clock
        self._dispatch = dispatch
        self._tick = tick
        self._lease = lease
        self._owner = str(uuid.uuid4())

    def step(self) -> float:
        """Do what is to be done for all rollouts; return the seconds to pause.

        Raises:
            TransportError: the database cannot be reached.
        """
        began = time.monotonic()
        decided = [self._advance(rollout_id) for rollout_id in self._pending()]
        if any(decided):
            return 0.0  # what was decided may have more in its wake, and large waves go in parts
        return max(self._tick, _IDLE_SHARE * (time.monotonic() - began))

    def release(self) -> None:
        """Let other engines take over at once.

        Raises:
            TransportError: the database cannot be reached; the leases then lapse by themselves.
        """
        with self._store.transaction() as tx:
            tx.rollouts.release_leases(self._owner)

    def _pending(self) -> list[str]:
        """Return the rollouts about which there is something to decide; takes no lock."""
        with self._store.snapshot() as tx:
            active = tx.rollouts.active()
            nodes = {node.id: node for node in tx.nodes.all()} if active else {}
            return [each for each in active if self._has_work(tx, each, nodes)]

    def _has_work(self, tx: Transaction, rollout_id: str, nodes: Mapping[str, FleetNode]) -> bool:
        try:
            return bool(decide(tx.rollouts.get(rollout_id), nodes, self._clock()))
        except TransportError:
            raise
        except Exception:
            log.exception("rollout cannot be read", rollout_id=rollout_id)
            return False

    def _advance(self, rollout_id: str) -> bool:
        try:
            return self._decide(rollout_id)
        except TransportError:
            raise
        except StaleVersionError:
            return True  # somebody was quicker: look again at once
        except Exception:
            log.exception("rollout cannot be decided", rollout_id=rollout_id)
            return False

    def _decide(self, rollout_id: str) -> bool:
        with self._store.transaction() as tx:
            now = self._clock()
            if not tx.rollouts.acquire_lease(rollout_id, self._owner, now, self._lease):
                return False
            seen = tx.rollouts.get(rollout_id)
            rollout = enact(tx, seen, seen=seen, now=now)
            tx.after_commit(self._dispatch)
            return rollout != seen
