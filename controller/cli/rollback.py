"""``osctl rollback``: back to the previous slot, and the history of it."""

from __future__ import annotations

import click

from controller.cli import render
from controller.cli.common import Common, common_options
from controller.cli.output import show
from controller.cli.session import session
from controller.cli.targets import required, target_options, targets
from shared.proto import fleet_pb2, node_pb2


@click.command("trigger")
@click.option("--reason", required=True, metavar="TEXT", help="Kept in the rollback history.")
@target_options
@common_options
@click.pass_obj
def trigger(common: Common, *, reason: str, nodes: tuple[str, ...], selector: str | None, all_nodes: bool) -> None:
    """Switch back to the previous slot and reboot."""
    chosen = targets(nodes, selector, all_nodes=all_nodes)
    with session(common, fleet=chosen is not None) as opened:
        if opened.is_node:
            request = node_pb2.TriggerRollbackRequest(reason=reason)
            show(common, opened.call(opened.node.TriggerRollback, request), lambda _: render.rolled_back())
        else:
            asked = fleet_pb2.FleetTriggerRollbackRequest(targets=required(chosen, "roll back"), reason=reason)
            show(common, opened.call(opened.fleet.TriggerRollback, asked), lambda a: render.rollback_ordered(a.message))


@click.command("history")
@target_options
@click.option("--limit", type=click.IntRange(min=0), default=0, metavar="N", help="Only the newest N; 0: all.")
@common_options
@click.pass_obj
def history(common: Common, *, nodes: tuple[str, ...], selector: str | None, all_nodes: bool, limit: int) -> None:
    """Show every rollback, oldest first: of the node that is asked, or of the whole fleet."""
    chosen = targets(nodes, selector, all_nodes=all_nodes)
    with session(common, fleet=chosen is not None) as opened:
        if opened.is_node:
            request = node_pb2.GetRollbackHistoryRequest(limit=limit)
            own = opened.call(opened.node.GetRollbackHistory, request)
            show(common, own, lambda a: render.history(a.records, with_node=False))
        else:
            asked = fleet_pb2.FleetGetRollbackHistoryRequest(targets=chosen, limit=limit)
            answer = opened.call(opened.fleet.GetRollbackHistory, asked)
            show(common, answer, lambda a: render.history(a.records, with_node=True))
