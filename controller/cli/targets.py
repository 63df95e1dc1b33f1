"""``--node``, ``--selector`` and ``--all``: which nodes a controller is asked about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from shared.errors import InputError
from shared.proto import fleet_pb2 as pb

F = TypeVar("F", bound=Callable[..., Any])


def target_options(function: F) -> F:
    """Add the three options as ``node``, ``selector`` and ``all_nodes``."""
    for option in (
        click.option("--all", "all_nodes", is_flag=True, help="Through the controller: every node."),
        click.option("--selector", "-l", metavar="TERMS", help="Likewise: nodes by label, site=berlin,!canary."),
        click.option(
            "--node", "-n", "nodes", multiple=True, metavar="ID", help="Likewise: this node; may be repeated."
        ),
    ):
        function = option(function)
    return function


def targets(nodes: tuple[str, ...], selector: str | None, *, all_nodes: bool) -> pb.Targets | None:
    """Return what the three options say, or None if they say nothing.

    Raises:
        InputError: more than one of them is used, or the selector is empty.
    """
    if selector is not None and not selector.strip():
        raise InputError("cannot choose nodes: the selector is empty", cure="write terms like site=berlin, or --all")
    if (bool(nodes), selector is not None, all_nodes).count(True) > 1:
        raise InputError("cannot choose nodes in two ways at once", cure="use one of --node, --selector and --all")
    if not nodes and selector is None and not all_nodes:
        return None
    return pb.Targets(nodes=nodes, selector=selector or "", all=all_nodes)


def required(chosen: pb.Targets | None, what: str) -> pb.Targets:
    """Return the targets; a change through the controller must say on which nodes.

    Raises:
        InputError: nothing was chosen.
    """
    if chosen is None:
        raise InputError(f"cannot {what}: no targets", cure="name nodes with --node, --selector or --all")
    return chosen
