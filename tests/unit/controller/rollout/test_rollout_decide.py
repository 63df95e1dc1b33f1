"""What is decided, wave by wave."""

from __future__ import annotations

from datetime import timedelta

from controller.rollout import commands
from controller.rollout.decide import ORDERS_AT_ONCE
from controller.rollout.decisions import Explain, Grant
from controller.rollout.model import DIRECT, Policy, WavePlan
from shared.slots import Slot
from shared.states import EventKind, OrderKind, Phase, RolloutState, ScheduleState, TargetState, WaveState
from shared.windows import MaintenanceWindow
from tests.support.rollouts import NOW, UPDATE, Drive, event, fleet, heard, node, outcome, seconds

CANARY = WavePlan(count=1)
REST = WavePlan(percent=100)


def states(drive: Drive) -> list[WaveState]:
    return [wave.state for wave in drive.rollout.waves]


def test_the_first_wave_is_ordered_at_once_and_no_other() -> None:
    drive = Drive(fleet(4), Policy(waves=(CANARY, REST)))

    assert drive.rollout.state is RolloutState.RUNNING
    assert states(drive) == [WaveState.OPEN, WaveState.WAITING]
    assert [(order.node_id, order.kind, order.rollout_id) for order in drive.orders] == [
        (drive.rollout.targets[0].node_id, OrderKind.UPDATE, drive.rollout.id)
    ]
    assert drive.rollout.targets[0].from_version == "1.0.0"
    assert drive.rollout.reason == "wave 1 of 2 is open"


def test_a_rollout_without_trouble_runs_to_its_end() -> None:
    drive = Drive(fleet(12), Policy(waves=(CANARY, WavePlan(percent=25), REST)))

    sizes = []
    while drive.in_flight():
        sizes.append(len(drive.in_flight()))
        drive.finish()

    assert sizes == [1, 2, 9]
    assert drive.rollout.state is RolloutState.SUCCEEDED
    assert drive.rollout.reason == "12 succeeded"
    assert drive.rollout.settled


def test_orders_go_out_as_permits_come_free() -> None:
    drive = Drive(fleet(5), Policy(max_in_flight=2))
    before = drive.in_flight()

    drive.finish(ScheduleState.COMPLETED, before[0])

    assert len(before) == 2
    assert len(drive.in_flight()) == 2
    assert drive.in_flight()[0] == before[1]


def test_a_wave_soaks_before_the_next_one_opens() -> None:
    drive = Drive(fleet(2), Policy(waves=(WavePlan(count=1, soak=60), REST)))

    drive.finish()
    soaking = states(drive)
    drive.settle(seconds(59))
    still = states(drive)
    drive.settle(seconds(60))

    assert soaking == still == [WaveState.SOAKING, WaveState.WAITING]
    assert states(drive) == [WaveState.DONE, WaveState.OPEN]
    assert drive.rollout.waves[0].finished_at == seconds(60)


def test_a_failed_canary_halts_and_nobody_else_is_ordered() -> None:
    drive = Drive(fleet(4), Policy(waves=(CANARY, REST)))

    drive.finish(ScheduleState.ROLLED_BACK)

    assert drive.rollout.state is RolloutState.HALTED
    assert states(drive) == [WaveState.HALTED, WaveState.WAITING]
    assert "1 of 1 finished nodes failed" in drive.rollout.reason
    assert len(drive.orders) == 1


def test_a_halt_withdraws_what_is_in_flight_to_give_it_back() -> None:
    drive = Drive(fleet(3))
    failing, *others = drive.in_flight()

    drive.finish(ScheduleState.FAILED, failing)

    cancels = [order for order in drive.orders if order.kind is OrderKind.CANCEL]
    assert sorted(order.node_id for order in cancels) == sorted(others)
    turns = [target for target in drive.rollout.targets if target.in_flight]
    assert [(t.cancel_order_id, t.order_id) for t in turns] == [(order.id, order.target) for order in cancels]
    assert all(target.give_back for target in turns)


def test_silence_before_acceptance_becomes_unknown_and_the_order_is_withdrawn() -> None:
    drive = Drive(fleet(1), Policy(accept_deadline=100, max_failed_percent=100))

    drive.settle(seconds(99))
    waiting = drive.rollout.targets[0].state
    drive.settle(seconds(100))

    assert waiting is TargetState.ORDERED
    assert drive.rollout.targets[0].state is TargetState.UNKNOWN
    assert drive.rollout.targets[0].reason == "order not taken within 100 s"
    assert [order.kind for order in drive.orders] == [OrderKind.UPDATE, OrderKind.CANCEL]
    assert drive.rollout.state is RolloutState.SUCCEEDED


def test_silence_counts_against_the_threshold() -> None:
    drive = Drive(fleet(2), Policy(waves=(CANARY, REST), accept_deadline=100))

    drive.settle(seconds(100))

    assert drive.rollout.state is RolloutState.HALTED


def test_a_late_outcome_corrects_unknown_but_restarts_nothing() -> None:
    drive = Drive(fleet(2), Policy(waves=(CANARY, REST), accept_deadline=100))
    drive.settle(seconds(100))
    target = drive.rollout.targets[0]

    drive.rollout = heard(drive.rollout, [outcome(target, ScheduleState.COMPLETED)], seconds(200))
    drive.settle(seconds(200))

    assert drive.rollout.targets[0].state is TargetState.SUCCEEDED
    assert drive.rollout.state is RolloutState.HALTED
    assert states(drive) == [WaveState.HALTED, WaveState.WAITING]


def test_a_node_on_the_wanted_version_gets_no_order() -> None:
    nodes = fleet(1) | {"there": node("there", version="2.0.0")}

    drive = Drive(nodes)

    there = drive.rollout.target("there")
    assert there is not None
    assert there.state is TargetState.ALREADY_THERE
    assert [order.node_id for order in drive.orders] == ["n0"]


def test_a_node_on_the_wanted_version_but_unproven_gets_its_order() -> None:
    unproven = node("new", version="2.0.0")
    assert unproven.facts is not None
    facts = unproven.facts.model_copy(update={"slot": Slot.B})

    drive = Drive({"new": node("new", facts=facts)})

    assert [order.node_id for order in drive.orders] == ["new"]


def test_a_start_time_is_waited_for_and_explained() -> None:
    drive = Drive(fleet(1), update=UPDATE.model_copy(update={"start_at": seconds(60)}))
    scheduled, why = drive.rollout.state, drive.rollout.reason

    again = drive.settle(seconds(59))
    drive.settle(seconds(60))

    assert scheduled is RolloutState.SCHEDULED
    assert why == "starts at 2026-01-27 12:01:00 UTC"
    assert again.decisions == ()
    assert drive.rollout.state is RolloutState.RUNNING


def test_a_closed_window_is_told_and_the_node_ordered() -> None:
    window = MaintenanceWindow(start="22:00", minutes=60)

    drive = Drive(fleet(1), update=UPDATE.model_copy(update={"window": window}))

    assert drive.in_flight() == ["n0"]
    assert drive.rollout.reason.endswith("they switch when the window opens at 2026-01-27 22:00:00 UTC")
    assert drive.orders[0].expires_at == NOW.replace(hour=22) + timedelta(seconds=3600)


def test_the_end_of_a_window_changes_only_the_reason() -> None:
    window = MaintenanceWindow(start="12:00", minutes=60)
    policy = Policy(accept_deadline=9000)
    drive = Drive(fleet(1), policy, update=UPDATE.model_copy(update={"window": window}))

    inside, outside = drive.settle(seconds(3599)), drive.settle(seconds(3600))

    assert inside.decisions == ()
    assert [type(decision) for decision in outside.decisions] == [Explain]
    assert drive.in_flight() == ["n0"]


def test_direct_updates_never_stop_each_other() -> None:
    drive = Drive(fleet(3), DIRECT, direct=True)

    drive.finish(ScheduleState.FAILED, "n0", "n1")

    assert drive.in_flight() == ["n2"]
    assert [order.kind for order in drive.orders] == [OrderKind.UPDATE] * 3


def test_a_rollout_of_cancelled_turns_is_aborted_not_succeeded() -> None:
    drive = Drive(fleet(1), DIRECT, direct=True)

    drive.finish(ScheduleState.CANCELLED)

    assert drive.rollout.state is RolloutState.ABORTED
    assert drive.rollout.reason == "every turn was cancelled"


def test_an_abort_ends_waiting_turns_and_withdraws_the_others_for_good() -> None:
    drive = Drive(fleet(3), Policy(max_in_flight=1))

    drive.rollout = commands.abort(drive.rollout, "wrong image", NOW)
    drive.settle()
    before = drive.rollout.settled
    drive.finish(ScheduleState.CANCELLED)

    assert not before
    assert {target.state for target in drive.rollout.targets} == {TargetState.CANCELLED}
    assert drive.rollout.settled


def test_a_very_large_wave_is_ordered_and_withdrawn_in_parts() -> None:
    drive = Drive(fleet(ORDERS_AT_ONCE * 2 + 1))

    ordered = [len(drive.in_flight()), len(drive.settle().orders), len(drive.settle().orders)]
    drive.rollout = commands.pause(drive.rollout, "lunch")
    withdrawn = [len(drive.settle().orders) for _ in range(4)]

    assert ordered == withdrawn[:3] == [ORDERS_AT_ONCE, ORDERS_AT_ONCE, 1]
    assert withdrawn[3] == 0


def test_a_staged_node_gets_one_grant_and_none_while_the_rollout_is_held() -> None:
    drive = Drive(fleet(2), update=UPDATE.model_copy(update={"needs_grant": True}))
    first, second = drive.rollout.targets

    drive.rollout = heard(drive.rollout, [event(first, EventKind.PHASE, phase=Phase.STAGED)])
    granted, again = drive.settle(), drive.settle()
    drive.rollout = commands.pause(drive.rollout, "lunch")
    drive.rollout = heard(drive.rollout, [event(second, EventKind.PHASE, phase=Phase.STAGED)])
    held = drive.settle()

    assert granted.decisions == (Grant(first.node_id),)
    assert [(order.kind, order.target) for order in granted.orders] == [(OrderKind.GRANT, first.order_id)]
    assert again.decisions == ()
    assert {order.kind for order in held.orders} == {OrderKind.CANCEL}
