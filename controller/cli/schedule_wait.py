"""How schedules end: waiting for it, and the exit code that tells it."""

from __future__ import annotations

from controller.cli.exits import Ended, Exit, of_schedule, of_target, worst
from controller.cli.session import Session
from controller.cli.wait import Patience, poll
from shared.proto import common_pb2, fleet_pb2, node_pb2
from shared.states import ScheduleState, TargetState

_UNFINISHED = (ScheduleState.PENDING, ScheduleState.IN_PROGRESS)
_MOVING = (TargetState.WAITING, TargetState.ORDERED, TargetState.ACCEPTED)

_WORDS = {
    Exit.FAILED: ("failed", "mend what the reason names and schedule it again"),
    Exit.ROLLED_BACK: ("rolled back", "osctl rollback history tells why; that version is refused from now on"),
    Exit.CANCELLED: ("was cancelled", ""),
    Exit.UNHEALTHY: ("left the node unhealthy on the new slot", "osctl health; then osctl rollback trigger"),
    Exit.IMAGE_REFUSED: ("was refused for its image", "check the image, its sha256 and what it is compatible with"),
    Exit.UNREACHABLE: ("got no answer from the node", "see that the node is on and its executor runs"),
}


def await_node(opened: Session, schedule_id: str, timeout: float) -> common_pb2.Schedule:
    """Wait on the node itself, through its reboots, until the schedule has ended.

    Raises:
        WaitTimeoutError: it has not ended in ``timeout`` seconds.
    """
    request = node_pb2.GetScheduleStatusRequest(schedule_id=schedule_id)
    return poll(
        lambda seconds: opened.try_call(opened.node.GetScheduleStatus, request, seconds).schedule,
        lambda schedule: schedule.state not in _UNFINISHED,
        Patience(timeout, f"schedule {schedule_id}"),
    )


def end_of_schedule(schedule: common_pb2.Schedule) -> None:
    """Return if the schedule was completed.

    Raises:
        Ended: it ended otherwise.
    """
    code = of_schedule(schedule.state, schedule.error_kind)
    if code is not Exit.DONE:
        raise _ended(code, f"schedule {schedule.id}", schedule.reason)


def await_targets(opened: Session, answer: fleet_pb2.FleetScheduleUpdateResponse, timeout: float) -> Ended | None:
    """Wait until every target of a direct update has ended, and bring the schedules in ``answer`` up to date.

    Returns:
        What to end with, or None if every node was updated.

    Raises:
        WaitTimeoutError: not all have ended in ``timeout`` seconds.
    """
    request = fleet_pb2.GetRolloutRequest(id=answer.rollout_id)
    rollout = poll(
        lambda seconds: opened.try_call(opened.fleet.GetRollout, request, seconds).rollout,
        lambda found: all(target.state not in _MOVING for target in found.targets),
        Patience(timeout, f"the schedules of {answer.rollout_id}"),
    )
    _refresh(opened, answer)
    codes = {target.node_id: of_target(target.state, target.error_kind) for target in rollout.targets}
    code = worst(list(codes.values()))
    if code is Exit.DONE:
        return None
    bad = [target for target in rollout.targets if codes[target.node_id] is code]
    others = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
    return _ended(code, f"the update of node {bad[0].node_id}{others}", bad[0].reason)


def _refresh(opened: Session, answer: fleet_pb2.FleetScheduleUpdateResponse) -> None:
    wanted = fleet_pb2.Targets(nodes=[schedule.node_id for schedule in answer.schedules])
    listed = opened.call(opened.fleet.ListSchedules, fleet_pb2.FleetListSchedulesRequest(targets=wanted)).schedules
    by_id = {schedule.id: schedule for schedule in listed}
    for schedule in answer.schedules:
        schedule.CopyFrom(by_id.get(schedule.id, schedule))


def _ended(code: Exit, what: str, reason: str) -> Ended:
    words, cure = _WORDS[code]
    return Ended(code, f"{what} {words}{f': {reason}' if reason else ''}", cure)
