"""What the controller asks of its database all day costs the same in its hundredth week as in its first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from controller.rollout.model import Policy, WavePlan
from controller.store.store import Store
from shared.states import CancelAnswer, EventKind, OrderKind, Phase
from tests.support.fleet_bench import Bench
from tests.support.rollouts import NOW

#: Tables that grow with every update for as long as a controller lives.
GROWING = ("events", "orders", "targets", "rollbacks", "audit")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store on SQLite, which tells its plans in a form that can be asked about."""
    opened = Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}")
    opened.migrate()
    yield opened
    opened.close()


def plans_of(store: Store) -> dict[str, list[str]]:
    """Return a dictionary that fills itself with the steps of each statement that the store runs from now on."""
    plans: dict[str, list[str]] = {}

    def look(connection: Connection, _cursor: object, statement: str, values: Any, *_: object) -> None:
        if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")) and statement not in plans:
            raw = connection.connection.cursor()
            first = values[0] if isinstance(values, list) else values
            plans[statement] = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", first)]
            raw.close()

    event.listen(store.engine, "before_cursor_execute", look)
    return plans


def live(bench: Bench) -> None:
    """Run a rollout in two waves, withdraw an update, send a node back, and do what dispatch and housekeeping do."""
    bench.register("n0", "n1", "n2")
    bench.create(Policy(waves=(WavePlan(count=1),)), idempotency_key="key")
    for _ in range(2):
        bench.engine.step()
        for order in bench.orders(OrderKind.UPDATE):
            bench.report(bench.say(order, EventKind.ACCEPTED), bench.say(order, EventKind.PHASE, phase=Phase.FLASHING))
            bench.report(bench.ends(order))
    bench.engine.step()
    turn = bench.schedule("n1").targets[0]
    bench.due()
    bench.fleet.cancel_schedule(turn.schedule_id, reason="", actor="user:alice")
    for order in bench.orders(OrderKind.CANCEL):
        bench.report(bench.say(order, EventKind.CANCEL_ANSWER, cancel_answer=CancelAnswer.STOPPED))
    with bench.store.transaction() as tx:
        tx.orders.close_expired(NOW)
        tx.orders.next_due()
        tx.events.forget_before(NOW)
        tx.audit.count("event.refuse", NOW)


def test_nothing_of_the_daily_work_reads_a_growing_table_from_end_to_end(store: Store) -> None:
    plans = plans_of(store)

    live(Bench(store))

    scans = {f"SCAN {table}" for table in GROWING}
    found = {
        statement: steps
        for statement, steps in plans.items()
        if any(" ".join(step.split()[:2]) in scans for step in steps)
    }
    assert len(plans) > len(GROWING)
    assert found == {}
