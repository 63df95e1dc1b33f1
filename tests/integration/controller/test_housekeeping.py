"""Old events are forgotten, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from controller.housekeeping import PAUSE, Housekeeping
from controller.store.store import Store
from shared.messages import Event
from shared.states import EventKind
from tests.support.rollouts import NOW, seconds


def _hello(seq: int) -> Event:
    return Event(id=f"e{seq}", kind=EventKind.HELLO, node_id="n0", seq=seq, at=NOW)


def test_events_are_forgotten_once_they_are_too_old(store: Store) -> None:
    with store.transaction() as tx:
        tx.events.add_new([_hello(1)], NOW)
        tx.events.add_new([_hello(2)], seconds(1))
    keeper = Housekeeping(store, clock=lambda: NOW + timedelta(days=90, milliseconds=500), keep=timedelta(days=90))

    pause = keeper.step()

    with store.snapshot() as tx:
        assert tx.events.list() == [_hello(2)]
    assert pause == PAUSE
