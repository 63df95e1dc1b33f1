"""The file with named contexts: ``~/.config/matic/osctl.json``. It holds paths of keys, never keys."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from controller.cli.common import KINDS
from shared.errors import InputError, NotFoundError


@dataclass(frozen=True, kw_only=True)
class Context:
    """One named connection."""

    name: str
    kind: str = "controller"  #: controller or node
    address: str  #: host:port
    tls_dir: str = ""  #: folder with ca.crt, tls.crt and tls.key
    ca: str = ""  #: or the three files, one by one
    cert: str = ""
    key: str = ""
    server_name: str = ""  #: name in the server's certificate; "": the host in ``address``


@dataclass(frozen=True)
class Config:
    """All contexts, and which one is in use."""

    current: str = ""
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def get(self, name: str) -> Context:
        """Return a context.

        Raises:
            NotFoundError: there is none of that name.
        """
        try:
            return self.contexts[name]
        except KeyError:
            known = f"choose one of {', '.join(self.contexts)}, or " if self.contexts else ""
            raise NotFoundError(
                f"cannot find context {name!r}",
                cure=f"{known}add it: osctl context set {name} --address HOST:PORT --tls-dir FOLDER",
            ) from None

    def with_context(self, context: Context) -> Config:
        """Return a copy with ``context`` added or replaced; the first one becomes the one in use."""
        return replace(self, current=self.current or context.name, contexts={**self.contexts, context.name: context})

    def without(self, name: str) -> Config:
        """Return a copy without context ``name``.

        Raises:
            NotFoundError: there is none of that name.
        """
        self.get(name)
        rest = {known: context for known, context in self.contexts.items() if known != name}
        return Config(current="" if self.current == name else self.current, contexts=rest)


def path_in(environ: Mapping[str, str]) -> Path:
    """Return where the file is, or would be: OSCTL_CONFIG, else below XDG_CONFIG_HOME, else below the home folder."""
    if environ.get("OSCTL_CONFIG"):
        return Path(environ["OSCTL_CONFIG"])
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "matic" / "osctl.json"


def load(path: Path) -> Config:
    """Read the file; a missing one is an empty one.

    Raises:
        InputError: it cannot be read or understood.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        contexts = {name: _context(name, data) for name, data in raw.get("contexts", {}).items()}
        return Config(current=str(raw.get("current", "")), contexts=contexts)
    except FileNotFoundError:
        return Config()
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"cannot read settings {path}: {error}", cure=f"mend or remove {path}") from error


def _context(name: str, data: Mapping[str, Any]) -> Context:
    known = {part.name for part in fields(Context)} - {"name"}
    context = Context(name=name, **{key: str(value) for key, value in data.items() if key in known})
    if context.kind not in KINDS:
        raise ValueError(f"context {name!r} has kind {context.kind!r}, which is neither controller nor node")
    return context


def save(path: Path, config: Config) -> None:
    """Write the file in one step, readable by its owner alone.

    Raises:
        InputError: it cannot be written.
    """
    contexts = {name: _stored(context) for name, context in config.contexts.items()}
    text = json.dumps({"current": config.current, "contexts": contexts}, indent=2) + "\n"
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        raise InputError(f"cannot write settings {path}: {error}", cure="name another file in OSCTL_CONFIG") from error


def _stored(context: Context) -> dict[str, str]:
    return {key: value for key, value in asdict(context).items() if value and key != "name"}
