"""``osctl rollout pause|resume|abort``."""

from __future__ import annotations

from collections.abc import Callable

import click
import grpc

from controller.cli import render_rollout as render
from controller.cli.common import Common, common_options
from controller.cli.output import show
from controller.cli.session import session
from shared.proto import fleet_pb2 as pb
from shared.proto.fleet_pb2_grpc import FleetServiceStub

_REASON = click.option("--reason", default="", metavar="TEXT", help="Kept in the audit trail.")


@click.command("pause")
@click.argument("rollout_id", metavar="ID")
@_REASON
@common_options
@click.pass_obj
def pause(common: Common, rollout_id: str, *, reason: str) -> None:
    """Send no further orders for rollout ID until it is resumed."""
    _change(common, lambda fleet: fleet.PauseRollout, rollout_id, reason)


@click.command("resume")
@click.argument("rollout_id", metavar="ID")
@_REASON
@common_options
@click.pass_obj
def resume(common: Common, rollout_id: str, *, reason: str) -> None:
    """Go on with rollout ID after a pause or a halt."""
    _change(common, lambda fleet: fleet.ResumeRollout, rollout_id, reason)


@click.command("abort")
@click.argument("rollout_id", metavar="ID")
@_REASON
@common_options
@click.pass_obj
def abort(common: Common, rollout_id: str, *, reason: str) -> None:
    """Stop rollout ID for good."""
    _change(common, lambda fleet: fleet.AbortRollout, rollout_id, reason)


def _change(
    common: Common,
    call_of: Callable[
        [FleetServiceStub], grpc.UnaryUnaryMultiCallable[pb.ChangeRolloutRequest, pb.ChangeRolloutResponse]
    ],
    rollout_id: str,
    reason: str,
) -> None:
    with session(common, fleet=True) as opened:
        answer = opened.call(call_of(opened.fleet), pb.ChangeRolloutRequest(id=rollout_id, reason=reason))
    show(common, answer, lambda a: render.progress(a.rollout))
