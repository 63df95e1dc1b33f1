"""A controller that dies by SIGKILL at a chosen point, as a process of its own.

Run as ``python -m tests.support.crashing_controller WHERE DATABASE REDIS``; the events key and orders key are thrown
away with it. WHERE is ``commit`` (order committed, not published), ``claim`` (claimed, not published), ``publish``
(published, not recorded) or ``ingest`` (events committed, not removed).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime

from controller.rollout.model import OrderDraft
from controller.store.store import Store
from shared.states import OrderKind
from tests.support.control import LEASES, Control
from tests.support.rollouts import NOW, UPDATE


def die() -> None:
    """End at once, as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlyControl(Control):
    """Dies when ingest wakes the engine: after the commit, before the removal."""

    def _wake(self) -> None:
        die()


def order_and_die(store: Store) -> None:
    """Commit an order, and die before anybody can be told."""
    with store.transaction() as tx:
        tx.orders.add([OrderDraft(id="o1", kind=OrderKind.UPDATE, node_id="n0", update=UPDATE)], NOW)
        tx.after_commit(die)


def claim_and_die(store: Store) -> None:
    """Claim what is due, and die before it is published."""
    with store.transaction() as tx:
        tx.orders.claim(NOW, NOW + LEASES.claim, nodes=1)
        tx.after_commit(die)


class DyingClock:
    """Tells the time once; asked again, after the publishing, it kills."""

    asked = 0

    def __call__(self) -> datetime:
        """Return NOW, or never return."""
        self.asked += 1
        if self.asked > 1:
            die()
        return NOW


def main(where: str, database: str, redis_url: str) -> None:
    """Do it."""
    store = Store(database)
    if where == "commit":
        order_and_die(store)
    elif where == "claim":
        claim_and_die(store)
    elif where == "publish":
        control = Control(store, redis_url)
        control.dispatcher._clock = DyingClock()
        control.dispatcher.step()
    elif where == "ingest":
        DeadlyControl(store, redis_url).ingest.step()


def crash(where: str, store: Store, redis_url: str) -> None:
    """Run a controller that dies at ``where``; return when it is dead.

    Raises:
        AssertionError: it did not die by SIGKILL.
    """
    command = [sys.executable, "-m", "tests.support.crashing_controller", where]
    url = store.url.render_as_string(hide_password=False)
    done = subprocess.run([*command, url, redis_url], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr


if __name__ == "__main__":
    main(*sys.argv[1:4])
