"""Small files that survive power loss: written whole or not at all.

Rule: temporary file in the same folder, fsync, rename, fsync of the folder. After the call returns the new content is
there after any cut; before that, the old one is. What this does not do: lock; each file has one writer.
"""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.errors import DiskFullError, StateFileError


def sync_folder(folder: Path) -> None:
    """Make creations and renames in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, durably and atomically; its folder is made when missing.

    Raises:
        DiskFullError: no room; the old content still stands.
        StateFileError: anything else the file system says; the old content still stands.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"cannot write {path}: no space left", cure="free space on the data partition"
            ) from error
        raise StateFileError(f"cannot write {path}: {error.strerror}", cure="check the data partition") from error


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - whatever json takes
    """Replace ``path`` by ``value`` as indented JSON; see ``write_bytes``."""
    write_bytes(path, json.dumps(value, indent=2).encode() + b"\n")


def read_bytes(path: Path) -> bytes | None:
    """Return the content of ``path``, or None if there is no such file.

    Raises:
        StateFileError: the file is there but cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateFileError(f"cannot read {path}: {error.strerror}", cure="check the data partition") from error


class DurableFile:
    """One small file on disk. Anything with the same three methods can stand in for it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        """Return the path, for messages."""
        return str(self._path)

    def read(self) -> bytes | None:
        """Return the content, or None if it was never written. Raises as ``read_bytes``."""
        return read_bytes(self._path)

    def write(self, content: bytes) -> None:
        """Replace the content durably. Raises as ``write_bytes``."""
        write_bytes(self._path, content)

    def set_aside(self) -> str:
        """Move the file out of the way, keeping it for people to read, and return its new name.

        Raises:
            StateFileError: it cannot be renamed.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        kept = self._path.with_name(f"{self._path.name}.unreadable-{stamp}")
        try:
            self._path.rename(kept)
            sync_folder(kept.parent)
        except OSError as error:
            raise StateFileError(f"cannot set {self._path} aside: {error.strerror}") from error
        return str(kept)
