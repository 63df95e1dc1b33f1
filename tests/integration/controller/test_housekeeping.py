"""Old events are forgotten, and missing ones are told."""

from __future__ import annotations

from datetime import timedelta

from controller.housekeeping import PAUSE, Housekeeping
from controller.metrics import Metrics
from controller.store.nodes import Contact
from controller.store.store import Store
from shared.messages import Event
from shared.states import EventKind
from tests.support.rollouts import NOW, node, seconds


def _hello(seq: int) -> Event:
    return Event(id=f"e{seq}", kind=EventKind.HELLO, node_id="n0", seq=seq, at=NOW)


def test_events_are_forgotten_once_they_are_too_old(store: Store) -> None:
    with store.transaction() as tx:
        tx.events.add_new([_hello(1)], NOW)
        tx.events.add_new([_hello(2)], seconds(1))
    now = NOW + timedelta(days=90, milliseconds=500)
    keeper = Housekeeping(store, clock=lambda: now, metrics=Metrics(), keep=timedelta(days=90))

    pause = keeper.step()

    with store.snapshot() as tx:
        assert tx.events.list() == [_hello(2)]
    assert pause == PAUSE


def test_events_that_never_came_are_counted(store: Store) -> None:
    metrics = Metrics()
    keeper = Housekeeping(store, clock=lambda: NOW, metrics=metrics, keep=timedelta(days=90))
    with store.transaction() as tx:
        for name in ("n0", "n1"):
            tx.nodes.register(node(name), NOW)
    values = []

    for node_id, seqs in (("n0", (1, 4)), ("n1", (2,)), ("n0", (2, 3))):
        with store.transaction() as tx:
            tx.nodes.heard([Contact(node_id=node_id, seen_at=NOW, seqs=seqs)])
        keeper.step()
        values.append(metrics.registry.get_sample_value("matic_events_missing"))

    assert values == [2, 3, 1]
