"""Gives memory back that only starting up, or an update, has needed: a node's memory is for its services.

Most of an executor is libraries, and most of their machine code runs once: it parses, registers, makes the TLS set-up.
The kernel keeps those pages mapped until memory is short. ``give_back`` tells it that they may go. Measured with
Python 3.11 and only the base dependencies (resident, in 10^6 bytes; ``benchmarks/executor.py`` measures anew):

- machine code and constants paged out (MADV_PAGEOUT): from 91 to 66, some 10 of which come back with the next health
  round and the next call; nothing can be lost by it, what is needed again is read again from the page cache or disk;
- malloc_trim: nothing after a start; it is for the heap that an update leaves if it ends without a reboot.

Pages that other processes use as well stay: they cost nobody anything. Tried and left out: fewer malloc arenas (0.3),
``python -OO`` (4, but the libraries' assertions go with them).
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import threading
from collections.abc import Iterator
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

#: Seconds between what made memory superfluous and the look at it: connections are made, events have left.
_SETTLE = 5.0
#: From madvise(2). Python's mmap module has it only for mappings of its own.
_MADV_PAGEOUT = 21


class Tidier:
    """A thread that sleeps until there may be something to give back."""

    def __init__(self, settle: float = _SETTLE) -> None:
        """Wait ``settle`` seconds after each ``soon``."""
        self._settle = settle
        self._asked = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    @property
    def running(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def soon(self) -> None:
        """Give memory back in a few seconds."""
        self._asked.set()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._asked.set()
        if self.running:
            self._thread.join()

    def _run(self) -> None:
        while self._asked.wait() and not self._stop.wait(self._settle):
            self._asked.clear()
            before = resident()
            give_back()
            log.info("memory given back", resident_before=before, resident=resident())


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * mmap.PAGESIZE


def give_back() -> None:
    """Page out machine code that is not in use, and return free heap to the kernel. Takes some 10 ms."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc; musl returns free memory by itself
        libc.malloc_trim(0)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, length in _code():
        # A refusal costs nothing: kernels before 5.4 do not know it, and files of other users may not be paged out.
        libc.madvise(start, length, _MADV_PAGEOUT)


def _code() -> Iterator[tuple[int, int]]:
    """Yield address and length of what is mapped from files and cannot be written: proc_pid_maps(5)."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, access, _offset, _device, inode = line.split()[:5]
        if "w" not in access and inode != "0":
            start, end = (int(part, 16) for part in span.split("-"))
            yield start, end - start
