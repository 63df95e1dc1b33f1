"""SHA-256 beside the disk: hashlib lets go of the interpreter, so a block is hashed while the disk is at work."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class Digest:
    """A digest fed in order by a thread of its own, as a context manager that ends the thread."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="flash-digest")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    def update(self, block: memoryview) -> Future[None]:
        """Begin to take ``block``; it must stay as it is until the answer is done."""
        return self._thread.submit(self._sha256.update, block)

    def hexdigest(self) -> str:
        """Return the digest of everything given so far."""
        return self._thread.submit(self._sha256.hexdigest).result()
