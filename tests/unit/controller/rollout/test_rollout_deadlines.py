"""When silence becomes an answer."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from controller.rollout.deadlines import expires_at, finish_by, may_begin
from controller.rollout.model import Policy, Target
from shared.messages import UpdateSpec
from shared.states import EventKind, TargetState
from shared.windows import MaintenanceWindow
from tests.support.rollouts import NOW, UPDATE, Drive, event, fleet, heard, seconds

NIGHT = MaintenanceWindow(start="22:00", minutes=60)
NOON = MaintenanceWindow(start="11:30", minutes=60)


def update(**values: object) -> UpdateSpec:
    return UPDATE.model_copy(update=values)


@pytest.mark.parametrize(
    ("spec", "begins", "ends"),
    [
        pytest.param(update(), NOW, NOW + timedelta(seconds=200), id="at-once"),
        pytest.param(update(start_at=seconds(60)), seconds(60), seconds(260), id="at-a-time"),
        pytest.param(update(start_at=seconds(-60)), NOW, seconds(200), id="at-a-time-gone-by"),
        pytest.param(update(window=NOON), NOW, seconds(1800 + 200), id="window-is-open"),
        pytest.param(update(window=NIGHT), NOW.replace(hour=22), NOW.replace(hour=23, minute=3, second=20), id="later"),
        pytest.param(
            update(window=NOON, start_at=seconds(3600)),
            NOW.replace(hour=11, minute=30) + timedelta(days=1),
            NOW.replace(hour=12, minute=33, second=20) + timedelta(days=1),
            id="window-of-the-next-day",
        ),
    ],
)
def test_waiting_for_time_or_window_is_not_silence(spec: UpdateSpec, begins: datetime, ends: datetime) -> None:
    policy = Policy(accept_deadline=100, finish_deadline=200)
    accepted = Target(node_id="n", wave=1, state=TargetState.ACCEPTED, ordered_at=NOW, accepted_at=NOW)

    assert may_begin(spec, NOW) == begins
    assert expires_at(spec, policy, NOW) == begins + timedelta(seconds=100)
    assert finish_by(accepted, spec, policy) == ends


def test_an_accepted_node_without_outcome_becomes_unknown_on_the_second() -> None:
    drive = Drive(fleet(1), Policy(finish_deadline=200, max_failed_percent=100))

    drive.rollout = heard(drive.rollout, [event(drive.rollout.targets[0], EventKind.ACCEPTED)], seconds(10))

    drive.settle(seconds(209))
    before = drive.rollout.targets[0].state
    drive.settle(seconds(210))

    assert before is TargetState.ACCEPTED
    assert drive.rollout.targets[0].state is TargetState.UNKNOWN
    assert drive.rollout.targets[0].reason == "no outcome within 200 s"
