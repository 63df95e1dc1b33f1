"""Disks for flasher tests: an image file with two slots in it and noise everywhere else."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node_executor.flash.flasher import SlotFlasher
from node_executor.flash.region import SlotRegion
from node_executor.flash.settings import FlashSettings
from shared.images import Image
from shared.slots import Slot

MIB = 1 << 20
#: No waiting in tests: a retry follows at once, silence is noticed soon.
FAST = FlashSettings(first_wait=0, longest_wait=0, connect_timeout=5, read_timeout=0.5, attempts=3)


@dataclass
class FlashDisk:
    """An image file ``path``; slot A runs, slot B is written. Offsets and lengths in bytes."""

    path: Path
    length: int = 8 * MIB
    gap: int = MIB  #: noise before, between and behind the slots
    running: Slot = Slot.A
    settings: FlashSettings = FAST
    seen: list[tuple[int, int | None]] = field(default_factory=list)  #: every call of ``progress``
    cancelled: threading.Event = field(default_factory=threading.Event)

    def create(self) -> FlashDisk:
        """Fill the file with noise: neither slot is empty before it is flashed."""
        size = 3 * self.gap + 2 * self.length
        noise = os.urandom(MIB // 4 + 1)  # repeats at no power of two, and is quicker than real noise throughout
        self.path.write_bytes((noise * (size // len(noise) + 1))[:size])
        return self

    def region(self, slot: Slot) -> SlotRegion:
        """Return where ``slot`` lies."""
        offset = self.gap if slot is Slot.A else 2 * self.gap + self.length
        return SlotRegion(path=self.path, offset=offset, length=self.length)

    def flasher(self) -> SlotFlasher:
        """Return a new flasher, as a new process would have it."""
        return SlotFlasher(self.region, lambda: self.running, self.settings)

    def flash(self, image: Image, slot: Slot = Slot.B) -> None:
        """Flash with this disk's ``progress`` and ``cancelled``."""
        self.flasher().flash(image, slot, self.progress, self.cancelled)

    def progress(self, done: int, total: int | None) -> None:
        """Note how far it is."""
        self.seen.append((done, total))

    def read(self, slot: Slot, length: int, at: int = 0) -> bytes:
        """Return bytes of a slot as any other program sees them."""
        with self.path.open("rb") as file:
            file.seek(self.region(slot).offset + at)
            return file.read(length)

    def wiped(self, slot: Slot = Slot.B) -> bool:
        """Whether nothing can mount the slot: its first MiB is zeros."""
        return not any(self.read(slot, MIB))

    def outside(self, slot: Slot = Slot.B) -> str:
        """Return the digest of every byte that does not belong to ``slot``."""
        digest, region = hashlib.sha256(), self.region(slot)
        with self.path.open("rb") as file:
            digest.update(file.read(region.offset))
            file.seek(region.offset + region.length)
            digest.update(file.read())
        return digest.hexdigest()


def publish(folder: Path, data: bytes, name: str = "image.squashfs") -> str:
    """Put an image into ``folder`` and return its digest."""
    (folder / name).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def image(source: str, data: bytes, *, size: int | None = None) -> Image:
    """Return the order's image for ``data`` at ``source``."""
    return Image(source=source, sha256=hashlib.sha256(data).hexdigest(), size=size)


def run(*command: str | Path) -> str:
    """Run a system tool and return what it printed."""
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout.strip()


def need_root() -> None:
    """End the test where mounts and loop devices are not to be had: as a failure in CI, as a named skip elsewhere."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs root for mounts and loop devices")


@contextmanager
def loop_device(backing: Path, *options: str) -> Iterator[Path]:
    """Lend a loop device over ``backing``."""
    device = run("losetup", "--find", "--show", *options, backing)
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)  # a test may have done it


@contextmanager
def mounted(source: str | Path, point: Path, *options: str) -> Iterator[Path]:
    """Mount ``source`` on the new folder ``point``."""
    point.mkdir()
    run("mount", *options, source, point)
    try:
        yield point
    finally:
        run("umount", "--lazy", point)
