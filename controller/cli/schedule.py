"""``osctl schedule``: updates of single nodes, asked of the node itself or of the controller."""

from __future__ import annotations

from typing import Any

import click

from controller.cli import render
from controller.cli.common import Common, common_options
from controller.cli.exits import Ended
from controller.cli.output import as_json, show
from controller.cli.schedule_wait import await_node, await_targets, end_of_schedule
from controller.cli.session import Session, session
from controller.cli.targets import required, target_options, targets
from controller.cli.update_options import build_update, update_options
from controller.cli.wait import wait_options
from shared.errors import ConflictError, NotFoundError
from shared.proto import common_pb2, fleet_pb2, node_pb2
from shared.states import CancelAnswer

_KEY = click.option(
    "--idempotency-key", default="", metavar="TEXT", help="The same key and update again: the same schedule, no second."
)


@click.command("update")
@update_options
@click.option("--enable-auto-rollback", is_flag=True, help="Go back by itself when a critical health check fails.")
@_KEY
@target_options
@wait_options
@common_options
@click.pass_obj
def update(  # noqa: PLR0913 - one per option
    common: Common,
    /,
    *,
    enable_auto_rollback: bool,
    idempotency_key: str,
    nodes: tuple[str, ...],
    selector: str | None,
    all_nodes: bool,
    wait: bool,
    timeout: float,
    **options: Any,  # noqa: ANN401 - values of many types, each checked by build_update or parse
) -> None:
    """Schedule an update: of the node that is asked, or through a controller of every target, all at once."""
    spec = build_update(options, auto_rollback=enable_auto_rollback)
    chosen = targets(nodes, selector, all_nodes=all_nodes)
    patience = timeout if wait else None
    with session(common, fleet=chosen is not None) as opened:
        if opened.is_node:
            _on_node(common, opened, spec, idempotency_key, patience)
        else:
            request = fleet_pb2.FleetScheduleUpdateRequest(
                targets=required(chosen, "schedule the update"), update=spec, idempotency_key=idempotency_key
            )
            _through_controller(common, opened, request, patience)


def _on_node(common: Common, opened: Session, spec: common_pb2.UpdateSpec, key: str, patience: float | None) -> None:
    request = node_pb2.ScheduleUpdateRequest(update=spec, idempotency_key=key)
    answer = opened.call(opened.node.ScheduleUpdate, request)
    if not common.json:
        click.echo(render.scheduled(answer.schedule))
    if patience is not None:
        answer.schedule.CopyFrom(await_node(opened, answer.schedule.id, patience))
        if not common.json:
            click.echo(f"Status: {answer.schedule.state}")
    if common.json:
        click.echo(as_json(answer))
    if patience is not None:
        end_of_schedule(answer.schedule)


def _through_controller(
    common: Common, opened: Session, request: fleet_pb2.FleetScheduleUpdateRequest, patience: float | None
) -> None:
    answer = opened.call(opened.fleet.ScheduleUpdate, request)
    if not common.json:
        click.echo(_scheduled_by_fleet(answer))
    ended: Ended | None = None
    if patience is not None:
        ended = await_targets(opened, answer, patience)
        if not common.json:
            click.echo(f"\n{render.schedules(answer.schedules)}")
    if common.json:
        click.echo(as_json(answer))
    if ended is not None:
        raise ended


def _scheduled_by_fleet(answer: fleet_pb2.FleetScheduleUpdateResponse) -> str:
    if len(answer.schedules) == 1:
        return render.scheduled(answer.schedules[0])
    return f"{len(answer.schedules)} schedules:\n\n{render.schedules(answer.schedules)}"


@click.command("status")
@click.argument("schedule_id", metavar="ID")
@common_options
@click.pass_obj
def status(common: Common, schedule_id: str) -> None:
    """Show schedule ID."""
    with session(common) as opened:
        if opened.is_node:
            request = node_pb2.GetScheduleStatusRequest(schedule_id=schedule_id)
            show(common, opened.call(opened.node.GetScheduleStatus, request), lambda a: render.schedule(a.schedule))
        else:
            asked = fleet_pb2.FleetGetScheduleStatusRequest(schedule_id=schedule_id)
            show(common, opened.call(opened.fleet.GetScheduleStatus, asked), lambda a: render.schedule(a.schedule))


@click.command("cancel")
@click.argument("schedule_id", metavar="ID")
@click.option("--reason", default="", metavar="TEXT", help="Kept in the audit trail.")
@common_options
@click.pass_obj
def cancel(common: Common, schedule_id: str, *, reason: str) -> None:
    """Withdraw schedule ID, if its node has not switched yet."""
    answer: node_pb2.CancelScheduleResponse | fleet_pb2.FleetCancelScheduleResponse
    with session(common) as opened:
        if opened.is_node:
            request = node_pb2.CancelScheduleRequest(schedule_id=schedule_id, reason=reason)
            answer = opened.call(opened.node.CancelSchedule, request)
        else:
            asked = fleet_pb2.FleetCancelScheduleRequest(schedule_id=schedule_id, reason=reason)
            answer = opened.call(opened.fleet.CancelSchedule, asked)
    if answer.answer == CancelAnswer.TOO_LATE:
        raise ConflictError(
            f"cannot cancel schedule {schedule_id}: too late, it is {answer.schedule.state} ({answer.schedule.phase})",
            cure="to undo an update that has switched: osctl rollback trigger --reason TEXT",
        )
    if answer.answer == CancelAnswer.UNKNOWN:
        raise NotFoundError(
            f"cannot cancel schedule {schedule_id}: the node does not know it", cure="osctl schedule list"
        )
    show(common, answer, lambda a: _cancelled(schedule_id, a.answer, a.schedule))


def _cancelled(schedule_id: str, answer: str, schedule: common_pb2.Schedule) -> str:
    if answer == CancelAnswer.STOPPED:
        return f"Schedule: {schedule_id}\nStatus: {schedule.state or 'Cancelled'}"
    return f"Schedule: {schedule_id}\nStatus: {schedule.state}\nCancel: asked for; the node has not answered yet"


@click.command("list")
@target_options
@click.option("--limit", type=click.IntRange(min=0), default=0, metavar="N", help="At most this many; 0: all.")
@common_options
@click.pass_obj
def list_(common: Common, *, nodes: tuple[str, ...], selector: str | None, all_nodes: bool, limit: int) -> None:
    """List schedules, newest first."""
    chosen = targets(nodes, selector, all_nodes=all_nodes)
    with session(common, fleet=chosen is not None) as opened:
        if opened.is_node:
            request = node_pb2.ListSchedulesRequest(limit=limit)
            show(common, opened.call(opened.node.ListSchedules, request), lambda a: render.schedules(a.schedules))
        else:
            asked = fleet_pb2.FleetListSchedulesRequest(targets=chosen, limit=limit)
            show(common, opened.call(opened.fleet.ListSchedules, asked), lambda a: render.schedules(a.schedules))
