"""What an event changes, in whatever order events come."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.rollout.model import OrderDraft, OrderRow, OrderState, Target
from controller.rollout.progress import apply_event, apply_to_order
from shared.messages import NodeFacts
from shared.slots import Slot
from shared.states import CancelAnswer, EventKind, OrderKind, Phase, ScheduleState, TargetState
from tests.support.rollouts import NOW, UPDATE, event, outcome, seconds

ORDERED = Target(node_id="n1", wave=1, state=TargetState.ORDERED, order_id="o1", ordered_at=NOW, attempts=1)
ACCEPTED = replace(ORDERED, state=TargetState.ACCEPTED, accepted_at=NOW, phase=Phase.FLASHING, heard_seq=5)
UNKNOWN = replace(ACCEPTED, state=TargetState.UNKNOWN, finished_at=NOW)
WITHDRAWN = replace(ACCEPTED, cancel_order_id="c1")
HALTED = replace(WITHDRAWN, give_back=True)
GIVEN_BACK = replace(HALTED, state=TargetState.WAITING, phase=None, ordered_at=None, accepted_at=None)
SILENCE = timedelta(seconds=600)


def after(target: Target, kind: EventKind, seq: int = 9, **values: Any) -> Target:
    changed = apply_event(target, event(target, kind, seq, **values), seconds(60))
    return target if changed is None else changed


def stopped(target: Target, word: CancelAnswer, order_id: str = "c1") -> Target:
    return after(target, EventKind.CANCEL_ANSWER, cancel_answer=word, order_id=order_id)


def test_a_node_that_is_asked_again_says_where_it_stands() -> None:
    unheard = after(ORDERED, EventKind.ACCEPTED, seq=9, phase=Phase.STAGED)
    missed = after(ACCEPTED, EventKind.ACCEPTED, seq=9, phase=Phase.STAGED)
    repeated = after(ACCEPTED, EventKind.ACCEPTED, seq=4, phase=Phase.PENDING)

    assert (unheard.state, unheard.phase, unheard.accepted_at) == (TargetState.ACCEPTED, Phase.STAGED, seconds(60))
    assert (missed.phase, missed.accepted_at) == (Phase.STAGED, ACCEPTED.accepted_at)
    assert repeated == ACCEPTED


def test_accepted_starts_the_finish_deadline_by_our_clock() -> None:
    turn = after(ORDERED, EventKind.ACCEPTED)

    assert (turn.state, turn.accepted_at) == (TargetState.ACCEPTED, seconds(60))


def test_a_phase_proves_acceptance() -> None:
    turn = after(ORDERED, EventKind.PHASE, phase=Phase.FETCHING)

    assert (turn.state, turn.phase, turn.accepted_at) == (TargetState.ACCEPTED, Phase.FETCHING, seconds(60))


def test_an_older_phase_is_old_news_whatever_it_says() -> None:
    older = after(ACCEPTED, EventKind.PHASE, seq=4, phase=Phase.VERIFYING)
    newer = after(ACCEPTED, EventKind.PHASE, seq=6, phase=Phase.FETCHING)

    assert older == ACCEPTED
    assert newer.phase is Phase.FETCHING


@pytest.mark.parametrize(
    ("state", "kind", "ends"),
    [
        pytest.param(ScheduleState.COMPLETED, "", TargetState.SUCCEEDED, id="completed"),
        pytest.param(ScheduleState.FAILED, "hook_failed", TargetState.FAILED, id="failed"),
        pytest.param(ScheduleState.FAILED, "digest_mismatch", TargetState.REFUSED, id="image-refused"),
        pytest.param(ScheduleState.FAILED, "no_such_kind", TargetState.FAILED, id="unknown-kind"),
        pytest.param(ScheduleState.ROLLED_BACK, "unhealthy", TargetState.ROLLED_BACK, id="rolled-back"),
        pytest.param(ScheduleState.CANCELLED, "", TargetState.CANCELLED, id="cancelled"),
    ],
)
@pytest.mark.parametrize("before", [ORDERED, ACCEPTED, UNKNOWN], ids=["ordered", "accepted", "unknown"])
def test_an_outcome_ends_the_turn(before: Target, state: ScheduleState, kind: str, ends: TargetState) -> None:
    facts = NodeFacts(slot=Slot.B, version="2.0.0", boot_id="b", agent_version="0.1.0")

    turn = after(before, EventKind.OUTCOME, state=state, error_kind=kind, reason="because", facts=facts)

    assert (turn.state, turn.error_kind, turn.finished_at) == (ends, kind, seconds(60))
    assert turn.state is TargetState.CANCELLED or (turn.reason, turn.to_version) == ("because", "2.0.0")


@pytest.mark.parametrize("final", [s for s in TargetState if s.final and s is not TargetState.UNKNOWN], ids=str)
@pytest.mark.parametrize("state", [s for s in ScheduleState if s.final], ids=str)
def test_a_final_state_stays(final: TargetState, state: ScheduleState) -> None:
    turn = replace(ACCEPTED, state=final, cancel_order_id="c1")

    late = [
        after(turn, EventKind.OUTCOME, state=state),
        after(turn, EventKind.PHASE, phase=Phase.TRIAL),
        after(turn, EventKind.ACCEPTED),
        after(turn, EventKind.REFUSED, error_kind="stale_order"),
        stopped(turn, CancelAnswer.STOPPED),
        stopped(turn, CancelAnswer.TOO_LATE),
    ]

    assert late == [turn] * 6


def test_an_outcome_beats_every_later_phase() -> None:
    ended = after(ORDERED, EventKind.OUTCOME, seq=9, state=ScheduleState.COMPLETED)

    turn = after(ended, EventKind.PHASE, seq=99, phase=Phase.PROVING)

    assert turn == ended


def test_unknown_is_corrected_by_an_end_and_by_nothing_less() -> None:
    phase = after(UNKNOWN, EventKind.PHASE, phase=Phase.TRIAL)
    accepted = after(UNKNOWN, EventKind.ACCEPTED)
    refused = after(UNKNOWN, EventKind.REFUSED, error_kind="expired_order")

    assert phase == accepted == UNKNOWN
    assert refused.state is TargetState.REFUSED


@pytest.mark.parametrize("order_id", ["", "o0", "another"], ids=["none", "earlier", "other"])
def test_an_event_about_another_order_changes_nothing(order_id: str) -> None:
    turn = after(ORDERED, EventKind.OUTCOME, state=ScheduleState.COMPLETED, order_id=order_id)

    assert turn == ORDERED


def test_the_cancel_orders_own_acceptance_is_not_the_updates() -> None:
    turn = replace(ORDERED, cancel_order_id="c1")

    same = after(turn, EventKind.ACCEPTED, order_id="c1"), after(turn, EventKind.REFUSED, order_id="c1")

    assert same == (turn, turn)


@pytest.mark.parametrize("word", [CancelAnswer.STOPPED, CancelAnswer.UNKNOWN], ids=["stopped", "unknown-there"])
@pytest.mark.parametrize("names", ["c1", "o1"], ids=["by-cancel-order", "by-update-order"])
def test_a_stopped_turn_is_given_back_or_over(word: CancelAnswer, names: str) -> None:
    back, over, unheard = (stopped(t, word, names) for t in (HALTED, WITHDRAWN, replace(HALTED, state=UNKNOWN.state)))

    assert back == GIVEN_BACK
    assert over.state is TargetState.CANCELLED
    assert unheard.state is TargetState.CANCELLED


def test_too_late_means_that_the_node_goes_on() -> None:
    waiting = replace(ORDERED, cancel_order_id="c1", give_back=True)

    working, unheard = stopped(HALTED, CancelAnswer.TOO_LATE), stopped(waiting, CancelAnswer.TOO_LATE)

    assert working == HALTED
    assert unheard.state is TargetState.ACCEPTED


@pytest.mark.parametrize("kind", ["stale_order", "expired_order"])
def test_a_withdrawn_update_that_is_refused_as_old_was_stopped(kind: str) -> None:
    back = after(HALTED, EventKind.REFUSED, error_kind=kind)
    plain = after(ORDERED, EventKind.REFUSED, error_kind=kind)

    assert back == GIVEN_BACK
    assert plain.state is TargetState.REFUSED


def test_a_turn_given_back_hears_that_the_node_had_gone_on() -> None:
    ended = after(GIVEN_BACK, EventKind.OUTCOME, state=ScheduleState.COMPLETED)
    again = after(GIVEN_BACK, EventKind.OUTCOME, state=ScheduleState.CANCELLED)

    assert ended.state is TargetState.SUCCEEDED
    assert again == GIVEN_BACK


@pytest.mark.parametrize(
    "said",
    [
        event(HALTED, EventKind.ACCEPTED),
        event(HALTED, EventKind.PHASE, 9, phase=Phase.TRIAL),
        event(HALTED, EventKind.CANCEL_ANSWER, 9, cancel_answer=CancelAnswer.STOPPED),
        outcome(HALTED, ScheduleState.CANCELLED),
        outcome(HALTED, ScheduleState.FAILED),
    ],
    ids=lambda said: str(said.kind),
)
def test_an_event_twice_is_an_event_once(said: Any) -> None:
    once = apply_event(HALTED, said, NOW) or HALTED

    twice = apply_event(once, said, NOW) or once

    assert twice == once


def row(kind: OrderKind, state: OrderState) -> OrderRow:
    update = UPDATE if kind is OrderKind.UPDATE else None
    draft = OrderDraft(id="o1", kind=kind, node_id="n1", update=update, target="" if update else "o0")
    return OrderRow(order=draft.numbered(1, NOW), state=state, next_publish_at=NOW)


@pytest.mark.parametrize(
    ("kind", "state", "said", "becomes", "again"),
    [
        pytest.param("update", "published", {"kind": "accepted"}, "accepted", True, id="accepted"),
        pytest.param("update", "accepted", {"kind": "phase", "phase": "trial"}, "accepted", True, id="a-sign-of-life"),
        pytest.param("update", "pending", {"kind": "refused"}, "refused", False, id="refused"),
        pytest.param("update", "accepted", {"kind": "outcome", "state": "Completed"}, "done", False, id="outcome"),
        pytest.param("update", "withdrawn", {"kind": "accepted"}, None, False, id="withdrawn-stays-so"),
        pytest.param("update", "withdrawn", {"cancel_answer": "too_late"}, "accepted", True, id="too-late"),
        pytest.param("update", "withdrawn", {"cancel_answer": "stopped"}, "done", False, id="stopped"),
        pytest.param("cancel", "published", {"cancel_answer": "too_late"}, "done", False, id="cancel-answered"),
        pytest.param("grant", "published", {"kind": "accepted"}, "done", False, id="granted"),
        pytest.param("rollback", "published", {"kind": "accepted"}, "accepted", True, id="rollback-accepted"),
        pytest.param("update", "done", {"kind": "accepted"}, None, False, id="done-stays-so"),
        pytest.param("update", "refused", {"kind": "phase", "phase": "trial"}, None, False, id="refused-stays-so"),
        pytest.param("update", "published", {"kind": "health"}, None, False, id="no-word-about-it"),
    ],
)
def test_an_order_row_follows_its_events(
    kind: str, state: str, said: dict[str, Any], becomes: str | None, *, again: bool
) -> None:
    before = row(OrderKind(kind), OrderState(state))
    target = replace(ORDERED, order_id=before.order.id)

    changed = apply_to_order(before, event(target, **({"kind": EventKind.CANCEL_ANSWER} | said)), NOW, SILENCE)

    assert (changed.state if changed else None) == becomes
    assert changed is None or changed.next_publish_at == (NOW + SILENCE if again else None)
