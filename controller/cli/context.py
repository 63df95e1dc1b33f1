"""``osctl context``: named connections."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from controller.cli import config
from controller.cli.common import KINDS, Common, common_options
from controller.cli.config import Context
from controller.cli.output import show_document, table
from shared.errors import InputError, NotFoundError


def _load() -> tuple[Path, config.Config]:
    path = config.path_in(os.environ)
    return path, config.load(path)


@click.command("list")
@common_options
@click.pass_obj
def list_(common: Common) -> None:
    """List contexts."""
    _, settings = _load()
    documents = [
        {**asdict(context), "current": name == settings.current} for name, context in settings.contexts.items()
    ]
    rows = [
        ("*" if context.name == settings.current else "", context.name, context.kind, context.address)
        for context in settings.contexts.values()
    ]
    show_document(common, {"contexts": documents}, table(("CURRENT", "NAME", "KIND", "ADDRESS"), rows))


@click.command("use")
@click.argument("name")
@common_options
@click.pass_obj
def use(common: Common, name: str) -> None:
    """Make context NAME the one that is used."""
    path, settings = _load()
    config.save(path, config.Config(current=settings.get(name).name, contexts=settings.contexts))
    show_document(common, {"current": name}, f"Context: {name}")


@click.command("set")
@click.argument("name")
@click.option("--ca", type=click.Path(path_type=Path), help="CA certificate, instead of --tls-dir.")
@click.option("--cert", type=click.Path(path_type=Path), help="Own certificate, likewise.")
@click.option("--key", type=click.Path(path_type=Path), help="Its private key, likewise.")
@common_options
@click.pass_obj
def set_(common: Common, name: str, *, ca: Path | None, cert: Path | None, key: Path | None) -> None:
    """Add or change context NAME: --kind, --address, and --tls-dir or the three files."""
    path, settings = _load()
    old = settings.contexts.get(name)
    address = common.address or (old.address if old else "")
    if not address:
        raise InputError(f"cannot set context {name!r}: it has no address", cure="give --address HOST:PORT")
    if (ca or cert or key) and not (ca and cert and key):
        raise InputError(
            f"cannot set context {name!r}: --ca, --cert and --key belong together", cure="give all three, or --tls-dir"
        )
    context = Context(
        name=name,
        kind=common.kind or (old.kind if old else KINDS[0]),
        address=address,
        server_name=common.server_name or (old.server_name if old else ""),
        **_files(common, old, (ca, cert, key)),
    )
    config.save(path, settings.with_context(context))
    show_document(common, asdict(context), f"Context: {name}")


def _files(common: Common, old: Context | None, files: tuple[Path | None, Path | None, Path | None]) -> dict[str, str]:
    """Return the file fields: the new ones of either form, else the old ones."""
    ca, cert, key = files
    if ca and cert and key:
        return {"ca": _full(ca), "cert": _full(cert), "key": _full(key)}
    if common.tls_dir:
        return {"tls_dir": _full(common.tls_dir)}
    if old:
        return {"tls_dir": old.tls_dir, "ca": old.ca, "cert": old.cert, "key": old.key}
    return {}


def _full(path: Path) -> str:
    """Return the absolute path: a context is used from any folder."""
    return str(path.expanduser().absolute())


@click.command("show")
@click.argument("name", required=False)
@common_options
@click.pass_obj
def show(common: Common, name: str | None) -> None:
    """Show context NAME, or the one in use."""
    _, settings = _load()
    wanted = name or common.context or os.environ.get("OSCTL_CONTEXT") or settings.current
    if not wanted:
        raise NotFoundError("cannot show the context in use: there is none", cure="osctl context use NAME")
    context = settings.get(wanted)
    lines = [f"{key.replace('_', ' ').capitalize()}: {value}" for key, value in asdict(context).items() if value]
    show_document(common, asdict(context), "\n".join(lines))


@click.command("remove")
@click.argument("name")
@common_options
@click.pass_obj
def remove(common: Common, name: str) -> None:
    """Forget context NAME; its certificate files stay."""
    path, settings = _load()
    config.save(path, settings.without(name))
    show_document(common, {"removed": name}, f"Removed: {name}")
