"""An open slot. Offsets count from its first byte, and no byte outside of it can be reached.

O_DIRECT is used wherever the target takes it: errors come with the write that failed and not with a later flush, the
page cache of a small node is left to its services, and what is read back comes from the disk. Where it is not taken
(unaligned regions, some file systems) the page cache is used, and emptied of the slot's pages as we go.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

from node_executor.flash.causes import slot_error
from node_executor.flash.region import SlotRegion, claimable, read_only
from shared.errors import ImageTooLargeError, SlotVanishedError
from shared.slots import Slot

#: O_DIRECT wants offsets and lengths in whole logical sectors; targets with larger ones say EINVAL and are believed.
_SECTOR = 512


class SlotTarget:
    """The slot's bytes, as a context manager."""

    def __init__(self, region: SlotRegion, slot: Slot, *, writable: bool) -> None:
        self._region = region
        self.slot = slot
        self._files: list[int] = []
        self.length = region.length
        self.where = str(region.path)
        with slot_error("open", slot, self.where):
            try:
                self._open(writable=writable)
            except BaseException:
                self.close()
                raise

    def _open(self, *, writable: bool) -> None:
        path, flags = self._region.path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        if writable and read_only(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        # O_EXCL without O_CREAT claims a block device: EBUSY if it is mounted, and no mount while we write (open(2)).
        # A stretch of a disk cannot be claimed: the slot that runs is mounted from another one.
        claim = os.O_EXCL if writable and claimable(self._region) else 0
        self._buffered = os.open(path, flags | claim)
        self._files.append(self._buffered)
        self._check_end()
        self._direct: int | None = None
        try:
            self._direct = os.open(path, flags | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        else:
            self._files.append(self._direct)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close without flushing: whoever wants durability has called ``sync``."""
        while self._files:
            os.close(self._files.pop())

    @property
    def direct(self) -> bool:
        """Whether the page cache is passed by, as far as is known so far."""
        return self._direct is not None

    def write(self, data: memoryview, at: int) -> None:
        """Write all of ``data`` at ``at``; durable after ``sync``.

        Raises:
            ImageTooLargeError: it would pass the slot's end; nothing is written.
            SlotError: full, gone or broken.
        """
        self._inside(at, len(data))
        with slot_error("write", self.slot, self.where):
            try:
                self._move(os.pwrite, data, at)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    self._check_end()  # a disk that was pulled has no end left, and also says ENOSPC
                raise

    def read_into(self, buffer: memoryview, at: int) -> None:
        """Fill ``buffer`` with the bytes at ``at``.

        Raises:
            SlotError: gone or broken.
        """
        self._inside(at, len(buffer))
        with slot_error("read", self.slot, self.where):
            self._move(lambda file, view, place: os.preadv(file, [view], place), buffer, at)

    def sync(self) -> None:
        """Make everything written durable.

        Raises:
            SlotError: the disk did not keep it.
        """
        with slot_error("flush", self.slot, self.where):
            os.fdatasync(self._buffered)

    def forget(self, at: int, length: int) -> None:
        """Drop the pages of a flushed stretch from the page cache."""
        with slot_error("read", self.slot, self.where):
            os.posix_fadvise(self._buffered, self._region.offset + at, length, os.POSIX_FADV_DONTNEED)

    def _inside(self, at: int, length: int) -> None:
        if at < 0 or at + length > self.length:
            message = f"cannot reach bytes {at} to {at + length} of slot {self.slot}: it has {self.length}"
            raise ImageTooLargeError(message, cure="build a smaller image, or lay the disk out with larger slots")

    def _check_end(self) -> None:
        end = os.lseek(self._buffered, 0, os.SEEK_END)
        if end < self._region.offset + self.length:
            message = f"cannot use slot {self.slot} on {self.where}: the disk ends at byte {end}, inside the slot"
            raise SlotVanishedError(message, cure="check that the disk is still there and was not replaced or cut")

    def _move(self, move: Callable[[int, memoryview, int], int], view: memoryview, at: int) -> None:
        """Read or write all of ``view``, whole sectors past the page cache where that works."""
        place = self._region.offset + at
        whole = len(view) // _SECTOR * _SECTOR if self._direct is not None and place % _SECTOR == 0 else 0
        done = 0
        while done < len(view):
            file, end = (self._direct, whole) if self._direct is not None and done < whole else (self._buffered, None)
            try:
                moved = move(file, view[done:end], place + done)
            except OSError as error:
                if error.errno == errno.EINVAL and file == self._direct:
                    self._direct = None  # the target wants another alignment than ours; its file is closed with us
                    continue
                raise
            if moved == 0:
                raise OSError(errno.EIO, "the disk ended")
            done += moved
