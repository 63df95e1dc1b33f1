"""What an update waits for, with a clock that stands still until it is moved."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deploy.local.simulated import SimulatedClock, SimulatedNode
from node_executor.desk import Desk
from node_executor.machine import MAX_MOVES
from node_executor.runner import Runner
from shared.errors import SourceUnreachableError
from shared.slots import Slot
from shared.states import EventKind, OrderKind, Phase
from shared.windows import MaintenanceWindow
from tests.support.updates import NOON, order, phases, told, update, update_order


def test_an_update_does_not_start_before_its_time() -> None:
    node = SimulatedNode()
    node.desk.schedule(update(start_at=NOON + timedelta(hours=2)))

    rest = node.advance()

    assert rest == 7200
    assert phases(node) == []
    node.clock.forward(7200)
    node.run_until_settled()
    assert phases(node)[-1] == "completed"


def test_a_window_holds_back_the_switch_and_not_the_preparation() -> None:
    node = SimulatedNode()
    node.desk.schedule(update(window=MaintenanceWindow(start="22:00", minutes=60)))

    rest = node.advance()

    assert phases(node)[-1] == "staged"
    assert rest == 10 * 3600
    node.clock.forward(rest)
    node.run_until_settled()
    assert phases(node)[-1] == "completed"


def test_a_window_that_closed_again_before_we_looked_is_waited_for_anew() -> None:
    node = SimulatedNode()
    node.desk.schedule(update(window=MaintenanceWindow(start="22:00", minutes=60)))
    node.advance()

    node.clock.forward(11 * 3600)
    rest = node.advance()

    assert phases(node)[-1] == "staged"
    assert rest == 23 * 3600


def test_a_staged_update_waits_for_its_grant() -> None:
    node = SimulatedNode()
    node.desk.take(update_order(spec=update(needs_grant=True)))

    rest = node.advance()
    node.power_cycle()
    after_power_cut = node.advance()
    node.desk.take(order(OrderKind.GRANT, "grant-1", 2, "order-1"))
    node.run_until_settled()

    assert (rest, after_power_cut) == (None, None)
    assert phases(node)[-1] == "completed"
    assert node.machine.calls.count("flash") == 1


def test_an_update_that_waits_for_its_time_does_not_hold_up_another() -> None:
    node = SimulatedNode()
    later = node.desk.schedule(update("3.0.0", start_at=NOON + timedelta(hours=2)))
    now = node.desk.schedule(update("2.0.0"))

    node.advance()

    assert node.desk.status(now.id).phase is Phase.COMPLETED
    assert node.desk.status(later.id).phase is Phase.PENDING


def test_an_order_that_expires_while_it_waits_fails_at_that_moment() -> None:
    node = SimulatedNode()
    waiting = update(start_at=NOON + timedelta(hours=2))
    node.desk.take(update_order(spec=waiting, expires_at=NOON + timedelta(hours=1)))

    node.run_until_settled()

    outcome = told(node, EventKind.OUTCOME)[0]
    assert (outcome.phase, outcome.error_kind) == (Phase.FAILED, "expired_order")
    assert node.clock.now() - NOON < timedelta(hours=1, seconds=1)


def test_a_version_denied_while_it_waits_its_turn_is_not_installed() -> None:
    node = SimulatedNode()
    node.machine.unhealthy["2.0.0"] = "service"
    node.desk.schedule(update())
    node.desk.schedule(update())

    node.run_until_settled()

    assert [event.error_kind for event in told(node, EventKind.OUTCOME)] == ["unhealthy", "denied_version"]
    assert node.machine.calls.count("flash") == 1


def test_a_cancel_ends_a_pause_between_two_tries() -> None:
    node = SimulatedNode()
    node.machine.failures["probe"] = [SourceUnreachableError() for _ in range(5)]
    record = node.desk.schedule(update())
    node.advance()

    node.desk.cancel(record.id, "no")
    rest = node.advance()

    assert rest is None
    assert phases(node)[-1] == "cancelled"


def test_a_full_state_folder_delays_and_does_not_skip_a_step() -> None:
    node = SimulatedNode()
    node.desk.schedule(update())
    node.machine.during["flash"] = lambda: setattr(node.journal_file, "full", True)

    rest = node.advance()
    before = list(node.machine.calls)
    node.journal_file.full = False
    node.clock.forward(rest or 0)
    node.run_until_settled()

    assert rest
    assert before[-1] == "flash"
    assert node.machine.calls.count("flash") == 2
    assert phases(node)[-1] == "completed"


@dataclass
class StumblingClock(SimulatedClock):
    """A clock that cannot tell the time as often as ``stumbles`` says."""

    stumbles: int = 0

    def now(self) -> datetime:
        """See ``Clock``."""
        if self.stumbles:
            self.stumbles -= 1
            raise OverflowError("no such date")
        return super().now()


def test_a_bug_between_two_effects_is_waited_out_and_not_the_end() -> None:
    clock = StumblingClock()
    node = SimulatedNode(clock=clock)
    node.desk.schedule(update())
    clock.stumbles = 1

    rest = node.advance()
    node.run_until_settled()

    assert rest == 10
    assert phases(node)[-1] == "completed"


def test_a_bug_at_the_start_does_not_keep_a_slot_on_trial() -> None:
    clock = StumblingClock()
    node = SimulatedNode(clock=clock)
    node.machine.unhealthy["2.0.0"] = "service"
    node.desk.schedule(update())
    node.machine.during["reboot"] = lambda: setattr(clock, "stumbles", 1)

    node.run_until_settled()

    assert phases(node)[-1] == "rolled_back"
    assert node.machine.running is Slot.A


def test_a_staged_update_outlasts_any_number_of_restarts() -> None:
    node = SimulatedNode()
    node.desk.take(update_order(spec=update(needs_grant=True)))
    node.advance()

    for _ in range(2 * MAX_MOVES):
        node.power_cycle()
        node.advance()
    node.desk.take(order(OrderKind.GRANT, "grant-1", 2, "order-1"))
    node.run_until_settled()

    assert phases(node)[-1] == "completed"


def test_the_runner_thread_sleeps_until_it_is_told_and_ends_when_asked() -> None:
    node = SimulatedNode()
    settled = threading.Event()
    node.machine.during["verify"] = settled.set
    thread = threading.Thread(target=Runner(node.state).run)
    thread.start()

    Desk(node.state).schedule(update())
    reached = settled.wait(10)
    node.state.stop()
    thread.join(10)

    assert reached
    assert not thread.is_alive()


def test_a_stop_in_the_middle_of_an_effect_leaves_the_phase_to_the_next_start() -> None:
    node = SimulatedNode()
    node.desk.schedule(update())
    node.machine.during["flash"] = node.state.stop

    stopped = node.runner.advance()
    reached = node.state.journal.records[0].phase
    node.start_executor()
    node.run_until_settled()

    assert (stopped, reached) == (None, Phase.FLASHING)
    assert phases(node)[-1] == "completed"


def test_the_days_counter_begins_anew_and_never_goes_back() -> None:
    node = SimulatedNode()
    first = node.desk.schedule(update("1.1"))
    node.clock.forward(24 * 3600)
    next_day = node.desk.schedule(update("1.2"))
    node.clock.instant = datetime(1970, 1, 1, tzinfo=UTC)
    clock_lost = node.desk.schedule(update("1.3"))

    assert (first.id, next_day.id, clock_lost.id) == (
        "sched-20260127-001",
        "sched-20260128-001",
        "sched-20260128-002",
    )
