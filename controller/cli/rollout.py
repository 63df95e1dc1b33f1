"""``osctl rollout``: create and follow staged updates."""

from __future__ import annotations

from typing import Any

import click

from controller.cli import render_rollout as render
from controller.cli.common import Common, common_options
from controller.cli.exits import Ended, Exit, of_rollout
from controller.cli.output import as_json, show
from controller.cli.parse import parse_waves
from controller.cli.session import Session, session
from controller.cli.targets import required, target_options, targets
from controller.cli.update_options import build_update, update_options
from controller.cli.wait import Duration, Patience, poll, timeout_option, wait_options
from shared.proto import fleet_pb2 as pb
from shared.states import RolloutState

#: What ends a wait. A pause does not: whoever paused it means to resume.
_ENDS = (RolloutState.SUCCEEDED, RolloutState.ABORTED, RolloutState.ROLLED_BACK, RolloutState.HALTED)

#: What the messages can carry; what makes sense is the server's to say.
_COUNT = click.IntRange(0, 2**31 - 1)


@click.command("create")
@click.option("--name", default="", metavar="TEXT", help="What people call it; default: after the version.")
@update_options
@click.option("--no-auto-rollback", is_flag=True, help="Leave nodes on the new slot when a critical check fails.")
@target_options
@click.option(
    "--waves", default="100%", show_default=True, metavar="LIST", help="Counts and cumulative shares: 1,25%,100%."
)
@click.option(
    "--soak", type=Duration(), default="0s", show_default=True, metavar="DURATION", help="Watch each wave this long."
)
@click.option("--max-failed-percent", type=float, default=0.0, show_default=True, metavar="P", help="Halt above it.")
@click.option("--max-failed", type=_COUNT, metavar="N", help="Halt above this many failed nodes.")
@click.option(
    "--min-finished", type=_COUNT, default=1, show_default=True, metavar="N", help="Judge the percentage from N on."
)
@click.option("--max-in-flight", type=_COUNT, default=0, metavar="N", help="Nodes at work at once; 0: the whole wave.")
@click.option(
    "--accept-deadline",
    type=Duration(),
    default="1h",
    show_default=True,
    metavar="DURATION",
    help="A node that has not taken its order by then counts as silent.",
)
@click.option(
    "--finish-deadline",
    type=Duration(),
    default="2h",
    show_default=True,
    metavar="DURATION",
    help="Likewise one that has taken it and not finished.",
)
@click.option("--idempotency-key", default="", metavar="TEXT", help="The same key and request again: the same rollout.")
@wait_options
@common_options
@click.pass_obj
def create(  # noqa: PLR0913 - one per option
    common: Common,
    /,
    *,
    name: str,
    no_auto_rollback: bool,
    nodes: tuple[str, ...],
    selector: str | None,
    all_nodes: bool,
    idempotency_key: str,
    wait: bool,
    timeout: float,
    **options: Any,  # noqa: ANN401 - values of many types, each checked by build_update or parse
) -> None:
    """Plan a rollout over the targets and start it."""
    request = pb.CreateRolloutRequest(
        name=name,
        targets=required(targets(nodes, selector, all_nodes=all_nodes), "create the rollout"),
        update=build_update(options, auto_rollback=not no_auto_rollback),
        policy=_policy(options),
        idempotency_key=idempotency_key,
    )
    with session(common, fleet=True) as opened:
        answer = opened.call(opened.fleet.CreateRollout, request)
        if not wait:
            show(common, answer, lambda a: render.created(a.rollout))
            return
        if not common.json:
            click.echo(render.created(answer.rollout))
        _follow(common, opened, answer.rollout.id, timeout)


def _policy(options: dict[str, Any]) -> pb.Policy:
    waves = [
        pb.WavePlan(count=size, soak_seconds=options["soak"])
        if isinstance(size, int)
        else pb.WavePlan(percent=size, soak_seconds=options["soak"])
        for size in parse_waves(options["waves"])
    ]
    return pb.Policy(
        waves=waves,
        max_failed_percent=options["max_failed_percent"],
        min_finished=options["min_finished"],
        max_failed=options["max_failed"],
        max_in_flight=options["max_in_flight"],
        accept_deadline_seconds=options["accept_deadline"],
        finish_deadline_seconds=options["finish_deadline"],
    )


def _follow(common: Common, opened: Session, rollout_id: str, timeout: float) -> None:
    """Print every change until the rollout ends or halts, and end with the code that tells how."""
    request = pb.GetRolloutRequest(id=rollout_id)
    seen: list[str] = []

    def tell(answer: pb.GetRolloutResponse) -> None:
        line = render.progress(answer.rollout)
        if line not in seen[-1:] and not common.json:
            click.echo(line)
        seen.append(line)

    answer = poll(
        lambda seconds: opened.try_call(opened.fleet.GetRollout, request, seconds),
        lambda found: found.rollout.state in _ENDS,
        Patience(timeout, f"rollout {rollout_id}"),
        tell,
    )
    if common.json:
        click.echo(as_json(answer))
    _end(answer.rollout)


def _end(rollout: pb.Rollout) -> None:
    code = of_rollout(rollout.state)
    if code is Exit.DONE:
        return
    cures = {
        Exit.HALTED: f"osctl rollout get {rollout.id} shows the nodes; then osctl rollout resume or abort {rollout.id}"
    }
    why = f": {rollout.reason}" if rollout.reason else ""
    raise Ended(code, f"rollout {rollout.id} is {rollout.state}{why}", cures.get(code, ""))


@click.command("watch")
@click.argument("rollout_id", metavar="ID")
@timeout_option
@common_options
@click.pass_obj
def watch(common: Common, rollout_id: str, *, timeout: float) -> None:
    """Follow rollout ID until it ends or halts; the exit code tells how."""
    with session(common, fleet=True) as opened:
        # Asked once without patience: a wrong id, address or certificate is told at once.
        opened.call(opened.fleet.GetRollout, pb.GetRolloutRequest(id=rollout_id))
        _follow(common, opened, rollout_id, timeout)


@click.command("list")
@click.option("--limit", type=click.IntRange(min=0), default=0, metavar="N", help="At most this many; 0: all.")
@common_options
@click.pass_obj
def list_(common: Common, *, limit: int) -> None:
    """List rollouts, newest first."""
    with session(common, fleet=True) as opened:
        answer = opened.call(opened.fleet.ListRollouts, pb.ListRolloutsRequest(limit=limit))
    show(common, answer, lambda a: render.rollouts(a.rollouts))


@click.command("get")
@click.argument("rollout_id", metavar="ID")
@common_options
@click.pass_obj
def get(common: Common, rollout_id: str) -> None:
    """Show rollout ID with its waves and nodes."""
    with session(common, fleet=True) as opened:
        answer = opened.call(opened.fleet.GetRollout, pb.GetRolloutRequest(id=rollout_id))
    show(common, answer, lambda a: render.rollout(a.rollout))
