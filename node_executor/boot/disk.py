"""A disk as sectors and flushes: the one door through which the partition table is read and written.

Rules:
- A block device and a plain image file behave alike; a file has 512-byte sectors, as sgdisk and sfdisk take it.
- Whoever opens the disk holds an advisory lock on it until it is closed: shared to read, exclusive to write. It is
  the lock that systemd-udevd and ``sfdisk --lock`` honour, so no two processes change the table at once.
- ``flush`` returns when the bytes are on the medium, not when they are in a cache.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from shared.errors import BootloaderError

FILE_SECTOR_SIZE = 512
LOCK_TIMEOUT = 10.0  #: seconds to wait for another process's change, which takes milliseconds
_LOCK_POLL = 0.02  # seconds; flock has no timeout of its own
_BLKSSZGET = 0x1268  # linux/fs.h: the logical sector size of a block device


class Disk(Protocol):
    """Sectors that can be read, written and flushed; tests record what goes through here."""

    @property
    def sector_size(self) -> int:
        """Bytes in a sector; writing one sector is taken to be atomic."""
        ...

    @property
    def sectors(self) -> int:
        """Sectors on the disk."""
        ...

    def read(self, lba: int, count: int) -> bytes:
        """Return ``count`` sectors from ``lba`` on.

        Raises:
            BootloaderError: the disk ends before, or answers with an error.
        """
        ...

    def write(self, lba: int, data: bytes) -> None:
        """Write whole sectors from ``lba`` on; volatile until the next ``flush``.

        Raises:
            BootloaderError: the disk refuses.
        """
        ...

    def flush(self) -> None:
        """Return when everything written before, by anybody, is durable.

        Raises:
            BootloaderError: the disk cannot promise that.
        """
        ...


class FileDisk:
    """An open block device or image file."""

    def __init__(self, path: Path, descriptor: int, *, sector_size: int | None = None) -> None:
        """Use an open ``descriptor``; ``sector_size`` is for images of disks with other than 512-byte sectors."""
        self._path = path
        self._fd = descriptor
        self.sector_size = _sector_size(descriptor) if sector_size is None else sector_size
        self.sectors = os.lseek(descriptor, 0, os.SEEK_END) // self.sector_size

    def read(self, lba: int, count: int) -> bytes:
        """See ``Disk.read``."""
        try:
            data = os.pread(self._fd, count * self.sector_size, lba * self.sector_size)
        except OSError as error:
            raise self._error("read", lba, error.strerror or str(error)) from error
        if len(data) != count * self.sector_size:
            raise self._error("read", lba, f"the disk ends after {self.sectors} sectors")
        return data

    def write(self, lba: int, data: bytes) -> None:
        """See ``Disk.write``."""
        try:
            written = os.pwrite(self._fd, data, lba * self.sector_size)
        except OSError as error:
            raise self._error("write", lba, error.strerror or str(error)) from error
        if written != len(data):
            raise self._error("write", lba, f"{written} of {len(data)} bytes were taken")

    def flush(self) -> None:
        """See ``Disk.flush``."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise BootloaderError(f"cannot flush {self._path}: {error.strerror}", cure=_DISK_CURE) from error

    def _error(self, verb: str, lba: int, cause: str) -> BootloaderError:
        return BootloaderError(f"cannot {verb} sector {lba} of {self._path}: {cause}", cure=_DISK_CURE)


_DISK_CURE = "check the disk's cabling and health (dmesg, smartctl)"


@contextmanager
def open_disk(path: Path, *, writable: bool, lock_timeout: float = LOCK_TIMEOUT) -> Iterator[FileDisk]:
    """Open and lock the disk at ``path`` for the length of a ``with`` block.

    Raises:
        BootloaderError: not there, no access, or locked by another process for longer than ``lock_timeout`` seconds.
    """
    try:
        descriptor = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
    except OSError as error:
        cure = "check the setting `disk`, and that the executor may open it (it runs as root on a real node)"
        raise BootloaderError(f"cannot open disk {path}: {error.strerror}", cure=cure) from error
    try:
        _lock(path, descriptor, fcntl.LOCK_EX if writable else fcntl.LOCK_SH, lock_timeout)
        yield FileDisk(path, descriptor)
    finally:
        os.close(descriptor)  # gives the lock back


def _lock(path: Path, descriptor: int, kind: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                cure = f"find who holds it with `fuser {path}`, and try again"
                raise BootloaderError(f"cannot lock disk {path}: another process holds it", cure=cure) from error
            time.sleep(_LOCK_POLL)
        else:
            return


def _sector_size(descriptor: int) -> int:
    if not stat.S_ISBLK(os.fstat(descriptor).st_mode):
        return FILE_SECTOR_SIZE
    answer: tuple[int] = struct.unpack("i", fcntl.ioctl(descriptor, _BLKSSZGET, b"\0" * 4))
    return answer[0]
