"""Provisioned disks for tests: as image files, and in memory with a record of every write and flush."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from node_executor.boot.control import OpenDisk
from node_executor.boot.provision import MIB, provision_disk

SECTOR = 512
ARRAY = 32  #: sectors of one array of entries


@dataclass(frozen=True)
class Write:
    """One sector given to the disk; it may or may not survive a power cut until the next flush."""

    lba: int
    data: bytes


@dataclass(frozen=True)
class Flush:
    """Everything before has reached the medium."""


Event = Write | Flush


class KilledError(Exception):
    """The process that used the disk was killed; what it wrote is in the cache still."""


@dataclass
class MemoryDisk:
    """A disk as both ports see it, the executor's and the firmware's; ``log`` is what they did to it."""

    base: bytes
    changed: dict[int, bytes] = field(default_factory=dict)
    log: list[Event] = field(default_factory=list)
    killed_at_flush: int | None = None  #: counted from 1
    sector_size: int = SECTOR

    @property
    def sectors(self) -> int:
        """Return how many sectors there are."""
        return len(self.base) // SECTOR

    def sector(self, lba: int) -> bytes:
        """Return one sector as a reader sees it."""
        return self.changed.get(lba) or self.base[lba * SECTOR : (lba + 1) * SECTOR]

    def image(self) -> bytes:
        """Return the whole disk."""
        image = bytearray(self.base)
        for lba, data in self.changed.items():
            image[lba * SECTOR : (lba + 1) * SECTOR] = data
        return bytes(image)

    def flush(self) -> None:
        """Record a flush, or be killed before it."""
        flushes = sum(isinstance(event, Flush) for event in self.log)
        if self.killed_at_flush == flushes + 1:
            raise KilledError
        self.log.append(Flush())

    def put(self, lba: int, data: bytes) -> None:
        """Write and record sector by sector."""
        for index in range(len(data) // SECTOR):
            sector = data[index * SECTOR : (index + 1) * SECTOR]
            self.changed[lba + index] = sector
            self.log.append(Write(lba + index, sector))

    def get(self, lba: int, count: int) -> bytes:
        """Return several sectors."""
        return b"".join(self.sector(lba + index) for index in range(count))

    def opener(self) -> OpenDisk:
        """Return what ``GptBootControl`` takes to open this disk."""

        @contextmanager
        def open_it(path: Path, *, writable: bool) -> Iterator[ExecutorView]:  # noqa: ARG001 - the port's signature
            yield ExecutorView(self)

        return open_it


@dataclass
class ExecutorView:
    """``node_executor.boot.disk.Disk``, in sectors."""

    disk: MemoryDisk
    sector_size: int = SECTOR

    @property
    def sectors(self) -> int:
        """See the port."""
        return self.disk.sectors

    def read(self, lba: int, count: int) -> bytes:
        """See the port."""
        return self.disk.get(lba, count)

    def write(self, lba: int, data: bytes) -> None:
        """See the port."""
        self.disk.put(lba, data)

    def flush(self) -> None:
        """See the port."""
        self.disk.flush()


@dataclass
class FirmwareView:
    """``deploy.local.firmware.Medium``, in bytes."""

    disk: MemoryDisk

    def size(self) -> int:
        """See the port."""
        return len(self.disk.base)

    def read(self, offset: int, length: int) -> bytes:
        """See the port."""
        return self.disk.get(offset // SECTOR, -(-length // SECTOR))[:length]

    def write(self, offset: int, data: bytes) -> None:
        """See the port."""
        self.disk.put(offset // SECTOR, data)

    def sync(self) -> None:
        """See the port."""
        self.disk.flush()


@cache
def provisioned_image() -> bytes:
    """Return a small disk as sgdisk lays it out: slot A proven, slot B empty."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "disk.img")
        provision_disk(path, slot_size=MIB, boot_size=MIB, data_size=MIB)
        return path.read_bytes()


def provisioned_file(folder: Path) -> Path:
    """Write that disk into ``folder``."""
    path = folder / "disk.img"
    path.write_bytes(provisioned_image())
    return path
