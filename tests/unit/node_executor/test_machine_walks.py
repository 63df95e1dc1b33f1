"""Every walk through the machine that effects and restarts can take: it ends, and keeps its promises on the way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from node_executor import machine
from node_executor.machine import MAX_MOVES, BootFacts, Effect, Signal, Step
from node_executor.records import Record
from shared.slots import Slot
from shared.states import Phase
from tests.support.updates import NOON

#: What each effect may answer; REBOOT answers only by a restart.
ANSWERS: dict[Effect, tuple[Signal, ...]] = {
    Effect.PREPARE: (Signal.DONE, Signal.FAILURE),
    Effect.FLASH: (Signal.DONE, Signal.FAILURE),
    Effect.VERIFY: (Signal.DONE, Signal.FAILURE),
    Effect.AWAIT_LEAVE: (Signal.LEAVE, Signal.FAILURE),
    Effect.ARM: (Signal.DONE, Signal.FAILURE),
    Effect.REBOOT: (Signal.FAILURE,),
    Effect.PROVE: (Signal.HEALTHY, Signal.UNHEALTHY, Signal.TOLERATED, Signal.FAILURE),
    Effect.MARK_GOOD: (Signal.DONE, Signal.FAILURE),
    Effect.GO_BACK: (Signal.RETURNED, Signal.FAILURE),
    Effect.CHECK_OLD: (Signal.DONE, Signal.FAILURE),
}

FACTS = st.builds(
    BootFacts, running=st.sampled_from(Slot), boot_id=st.sampled_from(["one", "two", "three"]), armed=st.booleans()
)


@st.composite
def walks(draw: st.DrawFn) -> list[tuple[Record, Signal, Step]]:
    """Draw a whole life of one update: answers, restarts anywhere, a cancel or a rollback asked for at any time."""
    record = Record(id="sched-20260127-001", created_at=NOON, source_slot=Slot.A, target_slot=Slot.B, boot_id="one")
    path: list[tuple[Record, Signal, Step]] = []
    signal, boot_id = Signal.BEGIN, "one"
    while True:
        step = machine.decide(record, signal)
        path.append((record, machine.effective(record, signal), step))
        record = machine.moved(record, step, NOON, boot_id)
        if record.phase.final:
            return path
        if draw(st.integers(0, 9)) == 0:
            asked = {"cancelling": True} if machine.cancellable(record) else {"rolling": record.phase is Phase.PROVING}
            record = record.evolve(**asked)
        if draw(st.integers(0, 2)) == 0 or step.effect is Effect.REBOOT:
            facts = draw(FACTS)
            boot_id = facts.boot_id
            resumed = machine.resume(record, facts)
            assert resumed is not None
            signal = resumed
            if signal is Signal.AGAIN and record.phase is Phase.PROVING and boot_id != record.boot_id:
                record = record.evolve(boots=record.boots + 1)
        else:
            signal = draw(st.sampled_from(ANSWERS[step.effect]))


@settings(deadline=None)
@given(walks())
def test_every_walk_ends_within_its_budget(path: list[tuple[Record, Signal, Step]]) -> None:
    counted = [step for record, _, step in path if not record.phase is step.phase is Phase.STAGED]

    assert len(counted) <= MAX_MOVES + 12


@settings(deadline=None)
@given(walks())
def test_no_walk_arms_a_slot_that_was_not_verified_since_it_was_written(
    path: list[tuple[Record, Signal, Step]],
) -> None:
    verified = False

    for record, signal, step in path:
        if step.effect is Effect.FLASH:
            verified = False
        if record.phase is Phase.VERIFYING and signal is Signal.DONE:
            verified = True
        assert verified or step.effect not in (Effect.ARM, Effect.REBOOT)


@settings(deadline=None)
@given(walks())
def test_no_walk_is_cancelled_after_arming(path: list[tuple[Record, Signal, Step]]) -> None:
    phases = [step.phase for _, _, step in path]

    if Phase.ARMING in phases:
        assert phases[-1] is not Phase.CANCELLED
    if any(record.cancelling for record, _, _ in path):
        assert phases[-1] is Phase.CANCELLED


@settings(deadline=None)
@given(walks())
def test_a_walk_counts_its_boots_and_completes_only_when_marked_good(
    path: list[tuple[Record, Signal, Step]],
) -> None:
    for record, _, step in path:
        assert record.boots <= machine.MAX_BOOTS
        if step.phase is Phase.PROVING:
            assert record.boots >= 1
    effects = [step.effect for _, _, step in path]
    if path[-1][2].phase is Phase.COMPLETED:
        assert effects[-2:] == [Effect.MARK_GOOD, Effect.FINISH]
    if path[-1][2].phase is Phase.ROLLED_BACK:
        assert effects[-2:] == [Effect.CHECK_OLD, Effect.FINISH]
