"""Sources of images: bytes in order from an offset, whatever the scheme.

Rules:
- A source announces its size if it can; the announcement is held against the order and the slot before any byte moves.
- Bytes are handed on as they lie at the source: no content encoding is taken off.
- Whatever blocks can be ended from another thread: ``stop`` ends waits, ``abort`` wakes a blocked read.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from node_executor.flash.causes import file_error
from shared.errors import ImageTooLargeError, ShortBodyError, SizeMismatchError, SourceRefusedError

#: Bytes asked of a source in one read.
READ_SIZE = 256 * 1024

#: Takes the next bytes of an image.
Sink = Callable[[bytes], None]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How many bytes an image may have."""

    size: int | None  #: what the order says; None: nothing
    limit: int  #: the slot's length

    def check(self, source: str, announced: int | None) -> None:
        """Hold the size that ``source`` announces (None: it does not) against order and slot.

        Raises:
            SizeMismatchError: not what the order says.
            ImageTooLargeError: does not fit into the slot.
        """
        if announced is not None and self.size is not None and announced != self.size:
            message = f"cannot fetch {source}: it has {announced} bytes, the order says {self.size}"
            raise SizeMismatchError(message, cure="compare the order's size with the released image")
        if announced == 0:
            raise SizeMismatchError(f"cannot fetch {source}: it is empty", cure="publish the image again")
        size = self.size if announced is None else announced
        if size is not None and size > self.limit:
            message = f"cannot fetch {source}: its {size} bytes do not fit into the slot's {self.limit}"
            raise ImageTooLargeError(message, cure="build a smaller image, or lay the disk out with larger slots")


class Source(Protocol):
    """Where an image comes from. Used for one transfer, by one thread; ``abort`` alone may come from another."""

    @property
    def total(self) -> int | None:
        """The image's bytes as far as order or source have told."""
        ...

    def probe(self, stop: threading.Event) -> int | None:
        """Ask for the size without taking the image; None: the source does not say.

        Raises:
            TransportError: not reachable.
            ImageError: the size does not suit order or slot.
        """
        ...

    def pour(self, sink: Sink, stop: threading.Event, offset: int = 0) -> None:
        """Hand every byte from ``offset`` on to ``sink``; return early when ``stop`` is set.

        Raises:
            TransportError: not reachable for longer than the settings allow.
            ImageError: the size does not suit order or slot, or the image changed meanwhile.
        """
        ...

    def abort(self) -> None:
        """Wake a ``pour`` that is blocked; it then sees its ``stop``."""
        ...


class FileSource:
    """An image in a file of this machine: a USB stick, a network mount, a device."""

    def __init__(self, url: str, bounds: Bounds) -> None:
        self._url = url
        self._path = Path(unquote(urlsplit(url).path))
        self._bounds = bounds
        self.total = bounds.size

    def probe(self, stop: threading.Event) -> int | None:  # noqa: ARG002 - the port's signature; nothing waits here
        """Return the file's length."""
        with file_error(self._url), self._open() as file:
            return self._measure(file.fileno())

    def pour(self, sink: Sink, stop: threading.Event, offset: int = 0) -> None:
        """Read the file from ``offset`` to its end."""
        with file_error(self._url), self._open() as file:
            length = self._measure(file.fileno())
            file.seek(offset)
            while offset < length and not stop.is_set():
                data = file.read(min(READ_SIZE, length - offset))
                if not data:
                    message = f"cannot fetch {self._url}: the file ended after {offset} of {length} bytes"
                    raise ShortBodyError(message, cure="wait until the file is copied whole, then try again")
                offset += len(data)
                sink(data)

    def abort(self) -> None:
        """Do nothing: a local read cannot be woken; the pump leaves it behind."""

    def _open(self) -> FileIO:
        # Not blocking: the mere opening of a pipe would wait for its writer, for ever if need be.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        kind = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISBLK(kind)):
            os.close(descriptor)
            message = f"cannot fetch {self._url}: it is neither a file nor a block device"
            raise SourceRefusedError(message, cure="name the image's own file")
        return FileIO(descriptor)

    def _measure(self, descriptor: int) -> int:
        """Return the length of a file or device, checked."""
        self.total = os.lseek(descriptor, 0, os.SEEK_END)  # st_size is 0 for devices
        self._bounds.check(self._url, self.total)
        return self.total
