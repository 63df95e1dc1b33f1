"""``osctl ca``: certificates for development."""

from __future__ import annotations

from pathlib import Path

import click

from controller.cli.common import Common, common_options
from controller.cli.output import show_document, table
from shared.pki import DevelopmentCa
from shared.tls import Role


@click.command("dev")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--node", "nodes", multiple=True, metavar="ID", help="Issue for this node; may be repeated.")
@click.option("--controller", "controllers", multiple=True, metavar="NAME", help="Issue for a controller process.")
@click.option("--user", "users", multiple=True, metavar="NAME", help="Issue for a person or pipeline.")
@click.option("--dns", multiple=True, metavar="NAME", help="Further name of the nodes and controllers issued now.")
@click.option("--ip", "ips", multiple=True, metavar="ADDRESS", help="Further address of the same.")
@common_options
@click.pass_obj
def dev(  # noqa: PLR0913 - one per option
    common: Common,
    folder: Path,
    *,
    nodes: tuple[str, ...],
    controllers: tuple[str, ...],
    users: tuple[str, ...],
    dns: tuple[str, ...],
    ips: tuple[str, ...],
) -> None:
    """Make a development CA in FOLDER, unless it is there, and issue certificates from it.

    What exists stays as it is. The CA's key lies unencrypted in FOLDER: not for production.
    """
    ca = DevelopmentCa.ensure(folder)
    wanted = [
        *((Role.CONTROLLER, name) for name in controllers),
        *((Role.NODE, name) for name in nodes),
        *((Role.USER, name) for name in users),
    ]
    rows: list[tuple[str, str, str]] = []
    for role, name in wanted:
        names = ((), ()) if role is Role.USER else (dns, ips)
        ca.issue(role, name, *names)
        rows.append((str(role), name, str(ca.folder_of(role, name))))
    issued = [{"role": role, "name": name, "tls_dir": place} for role, name, place in rows]
    text = f"CA: {folder / 'ca.crt'}"
    show_document(
        common,
        {"ca": str(folder / "ca.crt"), "issued": issued},
        f"{text}\n\n{table(('ROLE', 'NAME', 'FOLDER'), rows)}" if rows else text,
    )
