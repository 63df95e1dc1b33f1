"""``osctl node``: the nodes that the controller knows."""

from __future__ import annotations

import click

from controller.cli import render
from controller.cli.common import Common, common_options
from controller.cli.output import show
from controller.cli.parse import parse_labels, text_or_file
from controller.cli.session import session
from controller.cli.targets import target_options, targets
from shared.proto import fleet_pb2 as pb


@click.command("list")
@target_options
@common_options
@click.pass_obj
def list_(common: Common, *, nodes: tuple[str, ...], selector: str | None, all_nodes: bool) -> None:
    """List nodes."""
    chosen = targets(nodes, selector, all_nodes=all_nodes)
    with session(common, fleet=True) as opened:
        answer = opened.call(opened.fleet.ListNodes, pb.ListNodesRequest(targets=chosen))
    show(common, answer, lambda a: render.nodes(a.nodes))


@click.command("get")
@click.argument("node_id", metavar="ID")
@common_options
@click.pass_obj
def get(common: Common, node_id: str) -> None:
    """Show node ID."""
    with session(common, fleet=True) as opened:
        answer = opened.call(opened.fleet.GetNode, pb.GetNodeRequest(id=node_id))
    show(common, answer, lambda a: render.node(a.node))


@click.command("add")
@click.argument("node_id", metavar="ID")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--node-address", default="", metavar="HOST:PORT", help="Where its own service answers.")
@click.option("--event-key", default="", metavar="TEXT", help="Public key of its events, or the file that holds it.")
@common_options
@click.pass_obj
def add(common: Common, node_id: str, *, labels: tuple[str, ...], node_address: str, event_key: str) -> None:
    """Register node ID, or change its labels, address and key."""
    request = pb.RegisterNodeRequest(
        id=node_id, labels=parse_labels(labels), address=node_address, event_key=text_or_file(event_key)
    )
    with session(common, fleet=True) as opened:
        answer = opened.call(opened.fleet.RegisterNode, request)
    show(common, answer, lambda a: render.node(a.node))
