"""Whatever nodes do and in whatever order reports come, the rollout keeps its promises."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.rollout import commands
from controller.rollout.changes import settle
from controller.rollout.model import OrderDraft, Policy, Rollout, WavePlan
from controller.rollout.progress import apply_event
from shared.errors import IllegalTransitionError
from shared.messages import Event
from shared.states import (
    CancelAnswer,
    EventKind,
    OrderKind,
    Phase,
    RolloutState,
    ScheduleState,
    TargetState,
    WaveState,
)
from tests.support.rollouts import NOW, fleet, order_ids, rollout

_ENDS = (ScheduleState.COMPLETED, ScheduleState.FAILED, ScheduleState.ROLLED_BACK)
_HELD = (RolloutState.PAUSED, RolloutState.HALTED, RolloutState.ABORTED)
_PLANS = st.one_of(
    st.builds(WavePlan, count=st.integers(1, 3), soak=st.sampled_from([0.0, 30.0])),
    st.just(WavePlan(percent=100.0)),
)
_POLICIES = st.builds(
    Policy,
    waves=st.lists(_PLANS, max_size=3).filter(lambda waves: sum(w.percent is not None for w in waves) <= 1).map(tuple),
    max_failed_percent=st.sampled_from([0.0, 20.0, 50.0, 100.0]),
    max_failed=st.sampled_from([None, 0, 1, 3]),
    min_finished=st.integers(1, 3),
    max_in_flight=st.integers(0, 3),
    accept_deadline=st.just(100.0),
    finish_deadline=st.just(200.0),
)


class _Node:
    """One simulated node: takes orders in sequence, remembers what it answered, may be deaf."""

    def __init__(self, node_id: str) -> None:
        self.id = node_id
        self.inbox: list[OrderDraft] = []
        self.working: str = ""
        self.phase = Phase.PENDING
        self.known: set[str] = set()
        self.switched: list[str] = []
        self.seq = 0

    def say(self, kind: EventKind, order_id: str, **values: object) -> Event:
        self.seq += 1
        event_id = f"{self.id}-{self.seq}"
        return Event(id=event_id, kind=kind, node_id=self.id, seq=self.seq, at=NOW, order_id=order_id, **values)

    def take(self) -> list[Event]:
        order = self.inbox.pop(0)
        if order.kind is OrderKind.CANCEL:
            return self._cancel(order)
        self.known.add(order.id)
        if self.working:
            return [self.say(EventKind.REFUSED, order.id, error_kind="conflict")]
        self.working, self.phase = order.id, Phase.PENDING
        return [self.say(EventKind.ACCEPTED, order.id)]

    def _cancel(self, order: OrderDraft) -> list[Event]:
        def answer(word: CancelAnswer) -> Event:
            return self.say(EventKind.CANCEL_ANSWER, order.id, cancel_answer=word)

        if order.target not in self.known:
            return [answer(CancelAnswer.UNKNOWN)]
        if order.target != self.working or self.phase is Phase.TRIAL:
            return [answer(CancelAnswer.TOO_LATE)]
        self.working = ""
        stopped = answer(CancelAnswer.STOPPED)
        return [stopped, self.say(EventKind.OUTCOME, order.target, state=ScheduleState.CANCELLED)]

    def advance(self) -> list[Event]:
        self.phase = Phase.FETCHING if self.phase is Phase.PENDING else Phase.TRIAL
        return [self.say(EventKind.PHASE, self.working, phase=self.phase)]

    def end(self, state: ScheduleState) -> list[Event]:
        order_id, self.working = self.working, ""
        self.switched.append(order_id)
        return [self.say(EventKind.OUTCOME, order_id, state=state)]


class _RolloutMachine(RuleBasedStateMachine):
    """Drives decide and apply in memory: time passes, nodes work, reports are late, lost for a while or repeated."""

    @initialize(size=st.integers(1, 7), policy=_POLICIES)
    def begin(self, size: int, policy: Policy) -> None:
        self.policy = policy
        self.nodes = fleet(size)
        self.machines = {name: _Node(name) for name in self.nodes}
        self.now = NOW
        self.new_id = order_ids()
        self.mail: list[Event] = []  # on the way to the controller
        self.seen: list[Event] = []  # delivered; may be delivered again
        self.finals: dict[str, TargetState] = {}
        self.ordered: Counter[str] = Counter()
        self.rollout: Rollout = rollout(self.nodes, self.policy)
        self._settle()

    def _settle(self) -> None:
        before = self.rollout
        settled = settle(before, self.nodes, self.now, self.new_id)
        self.rollout = settled.rollout
        if before.state in _HELD:
            assert not [draft for draft in settled.orders if draft.kind is OrderKind.UPDATE], "order after halt"
        for draft in settled.orders:
            self.machines[draft.node_id].inbox.append(draft)
            if draft.kind is OrderKind.UPDATE:
                wave = self.rollout.target(draft.node_id).wave  # type: ignore[union-attr]
                assert all(w.state is WaveState.DONE for w in self.rollout.waves[: wave - 1])
        assert settle(self.rollout, self.nodes, self.now, self.new_id).decisions == (), "not at rest"

    def _deliver(self, event: Event) -> None:
        before = self.rollout.target(event.node_id)
        assert before is not None
        after = apply_event(before, event, self.now)
        if after is not None:
            assert apply_event(after, event, self.now) in (None, after), "not idempotent"
            turns = tuple(after if t.node_id == event.node_id else t for t in self.rollout.targets)
            self.rollout = replace(self.rollout, targets=turns)
        self._settle()

    def _busy(self) -> list[_Node]:
        return [each for each in self.machines.values() if each.working]

    @precondition(lambda self: any(each.inbox for each in self.machines.values()))
    @rule(data=st.data())
    def node_takes_an_order(self, data: st.DataObject) -> None:
        takers = [each for each in self.machines.values() if each.inbox]
        self.mail += data.draw(st.sampled_from(takers), "node").take()

    @precondition(lambda self: self._busy())
    @rule(data=st.data())
    def node_advances(self, data: st.DataObject) -> None:
        self.mail += data.draw(st.sampled_from(self._busy()), "node").advance()

    @precondition(lambda self: self._busy())
    @rule(data=st.data(), state=st.sampled_from(_ENDS))
    def node_ends(self, data: st.DataObject, state: ScheduleState) -> None:
        self.mail += data.draw(st.sampled_from(self._busy()), "node").end(state)

    @precondition(lambda self: self.mail)
    @rule(data=st.data())
    def report_arrives(self, data: st.DataObject) -> None:
        event = self.mail.pop(data.draw(st.integers(0, len(self.mail) - 1), "which"))
        self.seen.append(event)
        self._deliver(event)

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def report_arrives_again(self, data: st.DataObject) -> None:
        self._deliver(data.draw(st.sampled_from(self.seen), "which"))

    @rule(span=st.sampled_from([1, 31, 101, 201]))
    def time_passes(self, span: int) -> None:
        self.now += timedelta(seconds=span)
        self._settle()

    @rule(verb=st.sampled_from(["pause", "resume", "resume", "abort"]))
    def person_acts(self, verb: str) -> None:
        try:
            if verb == "pause":
                self.rollout = commands.pause(self.rollout, "a person")
            elif verb == "resume":
                self.rollout = commands.resume(self.rollout, self.nodes, "a person")
            else:
                self.rollout = commands.abort(self.rollout, "a person", self.now)
        except IllegalTransitionError:
            return
        self._settle()

    @invariant()
    def in_flight_stays_below_the_limit(self) -> None:
        flying = [target for target in self.rollout.targets if target.in_flight]
        waves = {target.wave for target in flying}
        assert len(waves) <= 1
        limit = self.policy.max_in_flight or max(wave.size for wave in self.rollout.waves)
        assert len(flying) <= limit

    @invariant()
    def what_is_held_is_withdrawn(self) -> None:
        if self.rollout.state in _HELD:
            flying = [target for target in self.rollout.targets if target.in_flight]
            assert all(target.cancel_order_id for target in flying)
            assert self.rollout.state is not RolloutState.ABORTED or not any(target.give_back for target in flying)

    @invariant()
    def a_wave_opens_only_after_the_one_before_is_done(self) -> None:
        states = [wave.state for wave in self.rollout.waves]
        for earlier, later in pairwise(states):
            assert later is WaveState.WAITING or earlier is WaveState.DONE

    @invariant()
    def a_done_wave_has_no_open_turn(self) -> None:
        for wave in self.rollout.waves:
            if wave.state in (WaveState.DONE, WaveState.SOAKING):
                assert all(target.state.final for target in self.rollout.in_wave(wave.index))

    @invariant()
    def a_final_state_stays(self) -> None:
        for target in self.rollout.targets:
            before = self.finals.get(target.node_id)
            assert before in (None, TargetState.UNKNOWN, target.state)
            if target.state.final:
                self.finals[target.node_id] = target.state

    @invariant()
    def a_running_rollout_is_within_its_threshold(self) -> None:
        if self.rollout.state not in (RolloutState.RUNNING, RolloutState.SUCCEEDED):
            return
        fresh = [t for t in self.rollout.targets if t.state.bad and not t.acknowledged]
        ends = [t for t in self.rollout.targets if t.state.bad or t.state is TargetState.SUCCEEDED]
        bad = [target for target in ends if target.state.bad]
        if fresh and self.policy.max_failed is not None and self.rollout.state is RolloutState.RUNNING:
            assert len(bad) <= self.policy.max_failed
        by_share = self.policy.max_failed is None or self.policy.max_failed_percent > 0
        if fresh and by_share and len(ends) >= self.policy.min_finished and self.rollout.state is RolloutState.RUNNING:
            assert len(bad) * 100 <= self.policy.max_failed_percent * len(ends)

    def teardown(self) -> None:
        """Every node answers at last, nobody resumes: the rollout comes to rest with every turn over or held."""
        if not hasattr(self, "rollout"):
            return
        if self.rollout.state is RolloutState.PAUSED:
            self.rollout = commands.resume(self.rollout, self.nodes, "the end")
        for _ in range(200):
            self._settle()
            events = [*self.mail]
            self.mail = []
            for each in self.machines.values():
                while each.inbox:
                    events += each.take()
                if each.working:
                    events += each.end(ScheduleState.COMPLETED)
            for event in events:
                self._deliver(event)
            self.now += timedelta(seconds=31)
            if not events and self.rollout.state in (*_HELD, RolloutState.SUCCEEDED):
                break
        left = [target for target in self.rollout.targets if not target.state.final]
        assert not [target for target in left if target.in_flight]
        assert not left or self.rollout.state is RolloutState.HALTED
        assert self.rollout.state in (RolloutState.SUCCEEDED, RolloutState.HALTED, RolloutState.ABORTED)
        doubled = [name for name, each in self.machines.items() if len(each.switched) != len(set(each.switched))]
        assert not doubled


_RolloutMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_a_rollout_keeps_its_promises = _RolloutMachine.TestCase
