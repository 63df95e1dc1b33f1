"""The engine on both databases: what it decides is stored once, and nothing it forgets is lost."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import text

from controller.engine import Engine
from controller.loops import Loop
from controller.rollout.model import Policy, WavePlan
from controller.rollout.selection import Selection
from controller.store.store import Store
from shared.messages import UpdateSpec
from shared.states import EventKind, OrderKind, Phase, RolloutState, ScheduleState, TargetState
from tests.support.fleet_bench import SILENCE, Bench
from tests.support.rollouts import UPDATE

WAVES = Policy(waves=(WavePlan(count=1), WavePlan(percent=25), WavePlan(percent=100)))
NODES = tuple(f"n{number}" for number in range(8))


def half(number: int) -> Selection:
    """Return the first or second four nodes."""
    return Selection(nodes=NODES[number * 4 : number * 4 + 4])


def in_a_minute(bench: Bench) -> UpdateSpec:
    """Return an update that starts in a minute, so that creating it orders nothing yet."""
    return UPDATE.model_copy(update={"start_at": bench.now + timedelta(seconds=60)})


@pytest.fixture
def bench(store: Store) -> Bench:
    """Eight registered nodes."""
    made = Bench(store)
    made.register(*NODES)
    return made


def test_a_rollout_runs_wave_by_wave_to_its_end(bench: Bench) -> None:
    rollout = bench.create(WAVES)

    sizes, seqs = [], Counter[str]()
    while orders := bench.orders():
        sizes.append(len(orders))
        seqs.update({order.node_id: order.seq for order in orders})
        bench.report(*(bench.say(order, EventKind.ACCEPTED) for order in orders))
        bench.report(*(bench.ends(order) for order in orders))
        bench.engine.step()

    assert sizes == [1, 1, 6]
    assert seqs == dict.fromkeys(NODES, 1)
    assert bench.rollout(rollout.id).state is RolloutState.SUCCEEDED
    assert bench.rollout(rollout.id).counts() == {TargetState.SUCCEEDED: 8}
    assert bench.dispatched == 3
    assert [entry.actor for entry in bench.audit("rollout.succeed")] == ["engine"]


def test_a_failed_canary_halts_and_says_so(bench: Bench) -> None:
    rollout = bench.create(WAVES)
    (order,) = bench.orders()

    bench.report(bench.ends(order, ScheduleState.ROLLED_BACK, error_kind="unhealthy"))
    bench.engine.step()
    bench.later(100)
    bench.engine.step()

    halted = bench.rollout(rollout.id)
    assert halted.state is RolloutState.HALTED
    assert bench.orders() == []
    (entry,) = bench.audit("rollout.halt")
    assert (entry.subject, entry.reason) == (rollout.id, halted.reason)
    assert order.node_id in entry.reason


def test_a_halt_withdraws_what_left_and_spares_what_did_not(bench: Bench) -> None:
    rollout = bench.create(Policy(max_in_flight=3))
    sent = bench.orders()
    bench.report(bench.ends(sent[0]))
    bench.engine.step()  # one more order is committed, and not published
    fresh = {t.node_id for t in bench.rollout(rollout.id).targets if t.in_flight} - {o.node_id for o in sent}

    bench.report(bench.ends(sent[1], ScheduleState.FAILED))
    bench.engine.step()

    (spared,) = (target for target in bench.rollout(rollout.id).targets if target.node_id in fresh)
    cancels = bench.orders()
    assert (spared.state, spared.cancel_order_id) == (TargetState.WAITING, "")
    assert [(order.kind, order.target) for order in cancels] == [(OrderKind.CANCEL, sent[2].id)]


def test_a_lost_outcome_is_asked_for_again(bench: Bench) -> None:
    rollout = bench.schedule("n1")
    (order,) = bench.orders()
    bench.report(bench.say(order, EventKind.ACCEPTED))
    before = bench.orders()

    bench.later(SILENCE.total_seconds())
    (again,) = bench.due()
    bench.report(bench.say(again.order, EventKind.ACCEPTED), bench.ends(again.order))
    bench.engine.step()

    assert before == []
    assert again.order == order
    assert bench.rollout(rollout.id).state is RolloutState.SUCCEEDED


def test_a_silent_node_halts_the_rollout_and_is_corrected_later(bench: Bench) -> None:
    rollout = bench.create(Policy(waves=WAVES.waves, accept_deadline=60))
    (order,) = bench.orders()

    bench.later(60)
    bench.engine.step()
    silent = bench.rollout(rollout.id)
    bench.report(bench.ends(order))
    bench.engine.step()

    corrected = bench.rollout(rollout.id)
    assert silent.target(order.node_id).state is TargetState.UNKNOWN  # type: ignore[union-attr]
    assert corrected.target(order.node_id).state is TargetState.SUCCEEDED  # type: ignore[union-attr]
    assert silent.state is corrected.state is RolloutState.HALTED


def test_nodes_of_a_rollout_switch_only_while_it_goes_on(bench: Bench) -> None:
    rollout = bench.create(Policy(max_in_flight=3))
    first, second, third = bench.orders()

    bench.report(bench.say(first, EventKind.PHASE, phase=Phase.STAGED))
    bench.engine.step()
    granted = bench.orders(OrderKind.GRANT)
    bench.report(bench.say(second, EventKind.PHASE, phase=Phase.STAGED))
    bench.engine.step()  # this grant is decided, and has not left when the rollout is halted
    bench.report(bench.ends(third, ScheduleState.FAILED), bench.say(first, EventKind.PHASE, phase=Phase.TRIAL))
    bench.engine.step()
    after = bench.orders()

    assert first.update is not None
    assert first.update.needs_grant
    assert [order.target for order in granted] == [first.id]
    assert bench.rollout(rollout.id).state is RolloutState.HALTED
    assert sorted(order.target for order in after if order.kind is OrderKind.CANCEL) == sorted([first.id, second.id])
    assert [order.target for order in after if order.kind is OrderKind.GRANT and order.target == second.id] == []


def test_an_update_sent_straight_to_a_node_asks_for_no_grant(bench: Bench) -> None:
    bench.schedule(NODES[0])

    (order,) = bench.orders()

    assert order.update is not None
    assert not order.update.needs_grant


def test_two_engines_at_once_order_every_node_once(bench: Bench) -> None:
    rollouts = [bench.create(name=f"r{n}", selection=half(n), update=in_a_minute(bench)) for n in range(2)]
    bench.later(60)
    engines = [bench.another_engine() for _ in range(4)]
    start = threading.Barrier(len(engines))

    def run(engine: Engine) -> None:
        start.wait()
        engine.step()

    threads = [threading.Thread(target=run, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Counter(order.node_id for order in bench.orders()) == dict.fromkeys(NODES, 1)
    assert {bench.rollout(rollout.id).state for rollout in rollouts} == {RolloutState.RUNNING}


def test_an_engine_leaves_a_rollout_to_the_one_that_holds_its_lease(bench: Bench) -> None:
    rollout = bench.create(Policy(max_in_flight=1))
    other = bench.another_engine()
    bench.report(bench.ends(bench.orders()[0]))
    bench.engine.step()

    bench.report(bench.ends(bench.orders()[0]))
    other.step()
    left = bench.orders()
    bench.later(16)
    other.step()
    taken = bench.orders(OrderKind.UPDATE)

    assert left == []
    assert len(taken) == 1
    assert bench.rollout(rollout.id).counts()[TargetState.SUCCEEDED] == 2


def test_an_engine_that_ends_in_good_order_hands_over_at_once(bench: Bench) -> None:
    bench.create(Policy(max_in_flight=1))
    bench.report(bench.ends(bench.orders()[0]))
    bench.engine.step()
    bench.report(bench.ends(bench.orders()[0]))

    bench.engine.release()
    bench.another_engine().step()

    assert len(bench.orders(OrderKind.UPDATE)) == 1


def test_a_rollout_that_cannot_be_read_does_not_hold_up_the_others(bench: Bench) -> None:
    broken = bench.create(selection=half(0), update=in_a_minute(bench))
    sound = bench.create(selection=half(1), update=in_a_minute(bench))
    with bench.store.engine.begin() as connection:
        connection.execute(text("UPDATE rollouts SET spec = '{}' WHERE id = :id"), {"id": broken.id})
    bench.later(60)

    bench.engine.step()

    assert bench.rollout(sound.id).state is RolloutState.RUNNING


def test_a_step_without_anything_to_decide_writes_nothing(bench: Bench) -> None:
    rollout = bench.create(WAVES)

    bench.engine.step()
    bench.engine.step()

    assert bench.rollout(rollout.id).version == rollout.version
    assert bench.dispatched == 0


def test_a_report_is_decided_on_without_waiting_for_the_tick(bench: Bench) -> None:
    bench.create(Policy(max_in_flight=1))
    (order,) = bench.orders()
    decided = threading.Event()
    engine = Engine(bench.store, clock=lambda: bench.now, dispatch=decided.set, tick=3600)
    loop = Loop("engine", engine.step)
    thread = threading.Thread(target=loop.run)
    thread.start()

    bench.report(bench.ends(order))
    loop.wake()
    in_time = decided.wait(60)  # the tick would come in an hour; how fast it is says benchmarks/decision.py

    loop.stop()
    thread.join()
    assert in_time
    assert len(bench.orders()) == 1
