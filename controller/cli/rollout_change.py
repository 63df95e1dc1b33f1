"""``osctl rollout pause|resume|abort``."""

from __future__ import annotations

import click

from controller.cli import render_rollout as render
from controller.cli.common import Common, common_options
from controller.cli.output import show
from controller.cli.session import session
from shared.proto import fleet_pb2 as pb

_REASON = click.option("--reason", default="", metavar="TEXT", help="Kept in the audit trail.")


@click.command("pause")
@click.argument("rollout_id", metavar="ID")
@_REASON
@common_options
@click.pass_obj
def pause(common: Common, rollout_id: str, *, reason: str) -> None:
    """Send no further orders for rollout ID until it is resumed."""
    with session(common, fleet=True) as opened:
        answer = opened.call(opened.fleet.PauseRollout, pb.ChangeRolloutRequest(id=rollout_id, reason=reason))
    show(common, answer, lambda a: render.progress(a.rollout))


@click.command("resume")
@click.argument("rollout_id", metavar="ID")
@_REASON
@common_options
@click.pass_obj
def resume(common: Common, rollout_id: str, *, reason: str) -> None:
    """Go on with rollout ID after a pause or a halt."""
    with session(common, fleet=True) as opened:
        answer = opened.call(opened.fleet.ResumeRollout, pb.ChangeRolloutRequest(id=rollout_id, reason=reason))
    show(common, answer, lambda a: render.progress(a.rollout))


@click.command("abort")
@click.argument("rollout_id", metavar="ID")
@_REASON
@common_options
@click.pass_obj
def abort(common: Common, rollout_id: str, *, reason: str) -> None:
    """Stop rollout ID for good."""
    with session(common, fleet=True) as opened:
        answer = opened.call(opened.fleet.AbortRollout, pb.ChangeRolloutRequest(id=rollout_id, reason=reason))
    show(common, answer, lambda a: render.progress(a.rollout))
