"""Reading a slot back: do the bytes on the disk have the image's digest?"""

from __future__ import annotations

import mmap
import threading
from concurrent.futures import Future
from typing import Final

from node_executor.flash.digest import Digest
from node_executor.flash.target import SlotTarget
from node_executor.ports import Progress
from shared.errors import ReadBackError

#: Bytes in one read: the disk is waited for once per piece.
_PIECE: Final = 4 << 20


def verify(target: SlotTarget, sha256: str, size: int, progress: Progress, cancelled: threading.Event) -> None:
    """Compare the first ``size`` bytes of ``target`` with ``sha256``; return early when ``cancelled`` is set.

    Raises:
        ReadBackError: other bytes.
        SlotError: the slot cannot be read.
    """
    target.sync()  # pages that are still dirty cannot be dropped
    target.forget(0, size)
    buffers = [memoryview(mmap.mmap(-1, _PIECE)) for _ in range(2)]  # one is hashed while the other is filled
    with Digest() as digest:
        hashed: Future[None] | None = None
        for at in range(0, size, _PIECE):
            if cancelled.is_set():
                return
            piece = buffers[at // _PIECE % 2][: min(_PIECE, size - at)]
            target.read_into(piece, at)
            if hashed is not None:
                hashed.result()
            hashed = digest.update(piece)
            target.forget(at, len(piece))
            progress(at + len(piece), size)
        found = digest.hexdigest()
    if found != sha256:
        message = f"cannot verify slot {target.slot}: its first {size} bytes have sha256 {found}, the image {sha256}"
        raise ReadBackError(message, cure="flash again; if it happens twice, replace the disk")
