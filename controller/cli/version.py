"""``osctl version``."""

from __future__ import annotations

from importlib import metadata

import click

from controller.cli.common import Common, common_options
from controller.cli.output import show_document


@click.command("version")
@click.option("--server", is_flag=True, help="Ask the controller for its version too.")
@common_options
@click.pass_obj
def version(common: Common, *, server: bool) -> None:
    """Print the version."""
    own = metadata.version("maticos-fleet")
    document: dict[str, str | None] = {"osctl": own, "controller": None, "database": None}
    lines = [f"osctl {own}"]
    if server:
        from controller.cli.session import session  # noqa: PLC0415 - gRPC only when somebody is asked
        from shared.proto import fleet_pb2  # noqa: PLC0415

        with session(common, fleet=True) as opened:
            answer = opened.call(opened.fleet.GetVersion, fleet_pb2.GetVersionRequest())
        document |= {"controller": answer.version, "database": answer.database}
        lines.append(f"controller {answer.version} ({answer.database})")
    show_document(common, document, "\n".join(lines))
