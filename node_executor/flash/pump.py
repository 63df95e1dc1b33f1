"""A source in a thread of its own, at most a few blocks ahead of whoever writes them.

Two reasons: bytes keep coming while others are hashed and written; and nothing that blocks (name lookup, a stalled
server, a hanging network mount) can hold up a cancel. Memory is bounded: ``DEPTH`` blocks are filled, used and filled
again. They are page-aligned, so that O_DIRECT can write them as they are.
"""

from __future__ import annotations

import mmap
import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self, TypeVar

from node_executor.flash.fetch import Source

BLOCK: Final = 1 << 20  #: bytes in a block, and in the slot's head that is written last
DEPTH: Final = 8  #: blocks in all
#: Seconds between two looks at ``cancelled`` while nothing comes.
_LOOK: Final = 0.05
#: Seconds that an ended thread is given to notice; one that hangs in the system is left to end by itself.
_GRACE: Final = 0.5

T = TypeVar("T")


class Pump:
    """Blocks of ``source`` in order, as a context manager that ends the source's thread."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stop = threading.Event()
        self._free: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[memoryview | Exception | None] = queue.SimpleQueue()
        self._block: memoryview | None = None
        self._fill = 0
        for _ in range(DEPTH):
            self._free.put(memoryview(mmap.mmap(-1, BLOCK)))
        self._thread = threading.Thread(target=self._run, name="flash-source", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._free.put(None)
        self._source.abort()
        self._thread.join(_GRACE)

    def blocks(self, cancelled: threading.Event) -> Iterator[memoryview]:
        """Yield whole blocks, the last one as short as it is; end early when ``cancelled`` is set.

        A block is valid until the next one is asked for.

        Raises:
            TransportError, ImageError: what the source raised.
        """
        while not cancelled.is_set():
            try:
                block = self._full.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if block is None:
                return
            if isinstance(block, Exception):
                raise block
            yield block
            self._free.put(block)

    def _run(self) -> None:
        try:
            self._source.pour(self._take, self._stop)
            if self._block is not None and self._fill:
                self._full.put(self._block[: self._fill])
        except Exception as error:  # noqa: BLE001 - carried to the thread that asked, and raised there
            self._full.put(error)
        else:
            self._full.put(None)

    def _take(self, data: bytes) -> None:
        """Put ``data`` into blocks; wait for a free one; do nothing once stopped."""
        rest = memoryview(data)
        while rest and not self._stop.is_set():
            if self._block is None:
                self._block, self._fill = self._free.get(), 0
                continue
            taken = min(len(rest), BLOCK - self._fill)
            self._block[self._fill : self._fill + taken] = rest[:taken]
            self._fill += taken
            rest = rest[taken:]
            if self._fill == BLOCK:
                self._full.put(self._block)
                self._block = None


def aside(work: Callable[[threading.Event], T], source: Source, cancelled: threading.Event) -> T | None:
    """Return what ``work`` returns from a thread of its own, or None as soon as ``cancelled`` is set.

    Raises:
        Exception: what ``work`` raised.
    """
    stop = threading.Event()
    answer: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answer.put((work(stop), None))
        except Exception as error:  # noqa: BLE001 - carried to the thread that asked, and raised there
            answer.put((None, error))

    threading.Thread(target=run, name="flash-probe", daemon=True).start()
    while not cancelled.is_set():
        try:
            value, error = answer.get(timeout=_LOOK)
        except queue.Empty:
            continue
        if error is not None:
            raise error
        return value
    stop.set()
    source.abort()
    return None
