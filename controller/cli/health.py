"""``osctl health``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from controller.cli import render
from controller.cli.common import Common, common_options
from controller.cli.exits import Ended, Exit
from controller.cli.output import show
from controller.cli.session import session
from controller.cli.targets import target_options, targets
from shared.proto import common_pb2, fleet_pb2, node_pb2
from shared.states import Verdict

#: A critical check that could not find out is no proof of health: scripts must not go on.
_WELL = (Verdict.HEALTHY, Verdict.DEGRADED)


@click.command("health")
@target_options
@click.option("--fresh", is_flag=True, help="Ask the checks now, not for the last report (only a node itself can).")
@common_options
@click.pass_obj
def health(common: Common, *, nodes: tuple[str, ...], selector: str | None, all_nodes: bool, fresh: bool) -> None:
    """Check system health: of the node that is asked, or what the controller last heard from its nodes."""
    chosen = targets(nodes, selector, all_nodes=all_nodes)
    with session(common, fleet=chosen is not None) as opened:
        if opened.is_node:
            own = opened.call(opened.node.GetHealth, node_pb2.GetHealthRequest(fresh=fresh))
            show(common, own, lambda answer: render.health(answer.report))
            reports = [("this node", own.report)]
        else:
            answer = opened.call(opened.fleet.GetHealth, fleet_pb2.FleetGetHealthRequest(targets=chosen))
            show(common, answer, lambda found: _of_fleet(found.nodes))
            reports = [(f"node {node.id}", node.health) for node in answer.nodes]
    _end(reports)


def _of_fleet(found: Sequence[fleet_pb2.Node]) -> str:
    if len(found) == 1 and found[0].HasField("health"):
        return render.health(found[0].health)
    return render.fleet_health(found)


def _end(reports: Sequence[tuple[str, common_pb2.HealthReport]]) -> None:
    ill = [(name, report) for name, report in reports if report.verdict not in _WELL]
    if not ill:
        return
    name, report = ill[0]
    failed = [check.name for check in report.checks if check.critical and check.verdict != Verdict.HEALTHY]
    others = f" and {len(ill) - 1} more" if len(ill) > 1 else ""
    why = f": {', '.join(failed)}" if failed else ""
    raise Ended(
        Exit.UNHEALTHY,
        f"{name}{others} is {report.verdict or 'without a report'}{why}",
        "mend what the failed checks name, or go back: osctl rollback trigger --reason TEXT",
    )
