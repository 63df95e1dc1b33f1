"""Whom to ask, and with which certificate: from flags, then the environment, then the context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.cli.common import KINDS, Common
from controller.cli.config import Config, Context
from shared.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Files:
    """Paths of the PEM files to use."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A service to ask."""

    kind: str  #: controller or node
    address: str
    files: Files
    server_name: str | None = None


def chosen_context(common: Common, config: Config, environ: Mapping[str, str]) -> Context | None:
    """Return the context that is meant, or None if there is none.

    Raises:
        NotFoundError: the one that is named does not exist.
    """
    name = common.context or environ.get("OSCTL_CONTEXT") or config.current
    return config.get(name) if name else None


def resolve(common: Common, config: Config, environ: Mapping[str, str], *, fleet: bool) -> Endpoint:
    """Return whom to ask.

    Args:
        common: what the command line says.
        config: the contexts.
        environ: the environment variables.
        fleet: whether the command makes sense only for a controller, as targets do; it settles what answers at a
            bare ``--address``.

    Raises:
        NotFoundError: the context that is named does not exist.
        InputError: nothing says whom to ask, or with which certificate.
    """
    context = chosen_context(common, config, environ)
    address = common.address or environ.get("OSCTL_ADDRESS")
    kind = common.kind or environ.get("OSCTL_KIND")
    if kind and kind not in KINDS:
        raise InputError(f"cannot use OSCTL_KIND {kind!r}: it is controller or node", cure="set it to one of them")
    if address:
        kind = kind or ("controller" if fleet else "node")
    elif context is None:
        raise InputError(
            "cannot tell whom to ask: no context is set and no address is given",
            cure="osctl context set NAME --kind controller --address HOST:PORT --tls-dir FOLDER; or --address",
        )
    else:
        address, kind = context.address, kind or context.kind
    if fleet and kind == "node":
        raise InputError(
            f"cannot ask {address} for this: it is one node, and this is a matter of the controller",
            cure="leave --node, --selector and --all out, or use a controller's context",
        )
    server_name = common.server_name or (context.server_name if context and not common.address else "") or None
    return Endpoint(kind=kind, address=address, files=_files(common, context, environ), server_name=server_name)


def _files(common: Common, context: Context | None, environ: Mapping[str, str]) -> Files:
    folder = common.tls_dir or environ.get("OSCTL_TLS_DIR")
    if not folder and context is not None:
        if context.ca and context.cert and context.key:
            return Files(ca=Path(context.ca), cert=Path(context.cert), key=Path(context.key))
        folder = context.tls_dir
    if not folder:
        raise InputError(
            "cannot open a connection: no certificate is named",
            cure="name its folder with --tls-dir or OSCTL_TLS_DIR; osctl ca dev makes one for development",
        )
    folder = Path(folder).expanduser()
    return Files(ca=folder / "ca.crt", cert=folder / "tls.crt", key=folder / "tls.key")
