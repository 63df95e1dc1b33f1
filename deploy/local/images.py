"""Release images for a fleet on one machine: real squashfs files, small enough to make while one watches.

An image holds what a virtual node looks at: ``etc/os-release``, ``etc/matic/services`` (one unit a line) and the
services' executables in ``usr/bin``. A service starts on a virtual node only if its executable is there, so an image
without one is bad in the way that real images are.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from shared.errors import InputError

MIB = 1 << 20


@dataclass(frozen=True)
class Release:
    """One built image."""

    version: str
    path: Path
    sha256: str  #: hex
    size: int  #: bytes


def build_release(
    folder: Path,
    version: str,
    *,
    services: Iterable[str] = ("app.service",),
    missing: Iterable[str] = (),
    payload_mib: int = 6,
) -> Release:
    """Build ``maticos-<version>.squashfs`` in ``folder``.

    Args:
        folder: where the image is put; made when missing.
        version: VERSION_ID of its os-release.
        services: units that the system wants running.
        missing: those of them whose executable is left out: they will not start.
        payload_mib: incompressible bytes that stand for a system, so that flashing takes real work.

    Raises:
        InputError: mksquashfs is missing or fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"maticos-{version}.squashfs"
    with tempfile.TemporaryDirectory(dir=folder) as work:
        root = Path(work)
        _fill(root, version, list(services), set(missing), payload_mib)
        _squash(root, path)
    data = path.read_bytes()
    return Release(version=version, path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def _fill(root: Path, version: str, services: list[str], missing: set[str], payload_mib: int) -> None:
    (root / "etc/matic").mkdir(parents=True)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/lib").mkdir(parents=True)
    (root / "etc/os-release").write_text(f'ID=maticos\nNAME="MaticOS"\nVERSION_ID={version}\n')
    (root / "etc/matic/services").write_text("".join(f"{service}\n" for service in services))
    for service in services:
        if service not in missing:
            program = root / "usr/bin" / service.removesuffix(".service")
            program.write_text(f"#!/bin/sh\necho {service} {version}\n")
            program.chmod(0o755)
    noise = Random(version)  # noqa: S311 - reproducible filler, not a secret
    (root / "usr/lib/payload.bin").write_bytes(noise.randbytes(payload_mib * MIB))


def _squash(root: Path, path: Path) -> None:
    if shutil.which("mksquashfs") is None:
        raise InputError("cannot build an image: mksquashfs is not on PATH", cure="install squashfs-tools")
    command = ["mksquashfs", str(root), str(path), "-all-root", "-noappend", "-quiet", "-no-progress", "-comp", "gzip"]
    # Times of 0 make the same input give the same bytes, and so the same sha256.
    done = subprocess.run([*command, "-all-time", "0", "-mkfs-time", "0"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InputError(f"cannot build {path.name}: mksquashfs said {done.stderr.strip()[-300:]!r}")


def read_system(disk: Path, offset: int, destination: Path) -> str | None:
    """Unpack ``etc`` and ``usr/bin`` of the squashfs at byte ``offset`` of ``disk``; return its VERSION_ID.

    Returns None if there is no whole system at that place: what a kernel would panic about.
    """
    shutil.rmtree(destination, ignore_errors=True)
    done = subprocess.run(
        ["unsquashfs", "-no-progress", "-n", "-o", str(offset), "-d", str(destination), str(disk), "etc", "usr/bin"],
        capture_output=True,
        check=False,
    )
    release = destination / "etc/os-release"
    if done.returncode != 0 or not release.is_file():
        return None
    for line in release.read_text().splitlines():
        if line.startswith("VERSION_ID="):
            return line.partition("=")[2].strip('"')
    return None
