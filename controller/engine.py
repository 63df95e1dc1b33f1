"""The engine: looks at every rollout that is not settled, and carries out what ``controller.rollout`` decides.

Rules:
- It remembers nothing. Each step derives from the database what should be true now, so that a lost wake-up, a crash
  anywhere or a second engine costs time and nothing else.
- A step first decides on a snapshot, which takes no lock; only where there is something to do it decides again on
  locked rows and commits. The lease keeps several engines from doing the same work, the version from doing it twice.
- One rollout that cannot be decided does not hold up the others.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from controller.enact import enact, fleet_of
from controller.rollout.decide import decide
from controller.store.store import Store
from shared.errors import StaleVersionError, TransportError

log = structlog.get_logger(__name__)

#: Times that a rollout is decided on anew within one step, after somebody else was quicker.
ATTEMPTS = 5


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
        with self._store.snapshot() as tx:
            active = tx.rollouts.active()
        for rollout_id in active:
            try:
                if self._pending(rollout_id):
                    self._advance(rollout_id)
            except TransportError:
                raise
            except Exception:
                log.exception("rollout cannot be decided", rollout_id=rollout_id)
        return self._tick

    def release(self) -> None:
        """Let other engines take over at once.

        Raises:
            TransportError: the database cannot be reached; the leases then lapse by themselves.
        """
        with self._store.transaction() as tx:
            tx.rollouts.release_leases(self._owner)

    def _pending(self, rollout_id: str) -> bool:
        """Whether there is something to decide; takes no lock."""
        with self._store.snapshot() as tx:
            rollout = tx.rollouts.get(rollout_id)
            return bool(decide(rollout, fleet_of(tx, rollout), self._clock()))

    def _advance(self, rollout_id: str) -> None:
        for _ in range(ATTEMPTS):
            try:
                self._decide(rollout_id)
            except StaleVersionError:
                continue
            return
        log.warning("rollout changes faster than it can be decided", rollout_id=rollout_id)

    def _decide(self, rollout_id: str) -> None:
        with self._store.transaction() as tx:
            now = self._clock()
            if not tx.rollouts.acquire_lease(rollout_id, self._owner, now, self._lease):
                return
            rollout = tx.rollouts.get(rollout_id)
            enact(tx, rollout, seen=rollout, now=now)
            tx.after_commit(self._dispatch)
