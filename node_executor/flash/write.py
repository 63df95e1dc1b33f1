"""The order of writes that makes a half-written slot harmless.

1. The slot's first MiB is wiped, durably: from here on nothing can mount it.
2. The body behind the first MiB is written, flushed every 64 MiB.
3. Size and digest are proven over every byte that came.
4. Only then the first MiB is written, and flushed.
"""

from __future__ import annotations

import mmap
from typing import Final

from node_executor.flash.digest import Digest
from node_executor.flash.pump import BLOCK
from node_executor.flash.target import SlotTarget
from shared.errors import DigestMismatchError, ImageTooLargeError, SizeMismatchError
from shared.images import Image

#: Bytes held back until the image is proven; every common file system has its superblock in here.
HEAD: Final = BLOCK
#: Bytes between two flushes: bounds what a disk has to swallow at once.
FLUSH: Final = 64 << 20


class SlotWriter:
    """Writes one image into one slot, block by block."""

    def __init__(self, target: SlotTarget, image: Image, digest: Digest) -> None:
        self._target = target
        self._image = image
        self._name = f"cannot flash image {image.sha256[:12]}"
        self._digest = digest
        self._head = memoryview(mmap.mmap(-1, HEAD))
        self._flushed = 0
        self.done = 0  #: bytes taken

    def wipe(self) -> None:
        """Make the slot unmountable.

        Raises:
            SlotError: full, gone or broken.
        """
        length = min(HEAD, self._target.length)
        self._target.write(self._head[:length], 0)
        self._target.sync()

    def add(self, block: memoryview) -> None:
        """Take the next block: whole ones of ``BLOCK`` bytes, then at most one shorter one.

        Raises:
            ImageError: more bytes than the order names or the slot has.
            SlotError: full, gone or broken.
        """
        end = self.done + len(block)
        if self._image.size is not None and end > self._image.size:
            message = f"{self._name}: more than the {self._image.size} bytes ordered came"
            raise SizeMismatchError(message, cure="compare the order's size with the released image")
        if end > self._target.length:
            message = f"{self._name}: it is longer than the slot's {self._target.length} bytes"
            raise ImageTooLargeError(message, cure="build a smaller image, or lay the disk out with larger slots")
        hashed = self._digest.update(block)
        if self.done == 0:
            self._head[: len(block)] = block
        else:
            self._target.write(block, self.done)
        hashed.result()
        self.done = end
        if self.done - self._flushed >= FLUSH:
            self._flush()

    def finish(self) -> None:
        """Prove the image, then complete the slot with its head.

        Raises:
            ImageError: wrong size or digest; the slot stays unmountable.
            SlotError: full, gone or broken.
        """
        if self._image.size is not None and self.done != self._image.size:
            message = f"{self._name}: {self.done} of {self._image.size} bytes came"
            raise SizeMismatchError(message, cure="compare the order's size with the released image")
        found = self._digest.hexdigest()
        if found != self._image.sha256:
            message = f"{self._name}: the bytes that came have sha256 {found}"
            raise DigestMismatchError(message, cure="publish the image again, or correct the order's sha256")
        self._flush()
        self._target.write(self._head[: min(HEAD, self.done)], 0)
        self._target.sync()

    def _flush(self) -> None:
        self._target.sync()
        self._target.forget(self._flushed, self.done - self._flushed)
        self._flushed = self.done
