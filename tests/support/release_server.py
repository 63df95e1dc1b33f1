"""A release server that misbehaves by script: one ``Fault`` per request, then for ever the last word, ``after``."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import BinaryIO

from deploy.local.release_server import Extent, ReleaseHandler, ReleaseServer

_PIECE = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong in one answer; the default is nothing."""

    drop_after: int | None = None  #: bytes of body before the connection ends
    reset: bool = False  #: it ends with RST, not with FIN
    stall_after: int | None = None  #: bytes of body before silence until the server stops
    stall_head: bool = False  #: silence instead of an answer
    ignore_range: bool = False  #: the whole file with 200, whatever was asked
    wrong_range: bool = False  #: 206 from the first byte, whatever was asked
    unsized: bool = False  #: chunked, without Content-Length
    endless: bool = False  #: chunked, and zeros for ever behind the file
    piece: int = _PIECE  #: bytes in one write; small ones make a drip
    wrong_bytes: bool = False  #: right length, other content
    etag: str | None = None  #: instead of the file's own; "" sends none
    status: int | None = None  #: this, and no image
    retry_after: int | None = None  #: with ``status``: come back after so many seconds
    redirect: str | None = None  #: 302 to here
    encoding: str | None = None  #: claims this Content-Encoding


class FaultyReleaseServer(ReleaseServer):
    """Serves ``folder``; answer n is spoiled by ``script[n]``, later ones by ``after``."""

    def __init__(
        self,
        folder: Path,
        script: Sequence[Fault] = (),
        *,
        after: Fault | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._script = list(script)
        self._after = after or Fault()
        self._turn = threading.Lock()
        self.stopping = threading.Event()
        self.answered = threading.Event()  #: set when an answer has ended
        self.silent = threading.Event()  #: set when an answer has gone silent
        self.requests: list[Message] = []  #: the headers of each request, names in any case
        super().__init__(folder, tls=tls)

    def make_handler(self, folder: Path) -> type[ReleaseHandler]:
        """Bind the faulty handler to this script."""
        return type("BoundFaultyHandler", (_FaultyHandler,), {"folder": folder, "story": self})

    def next_fault(self, headers: Message) -> Fault:
        """Note a request and return what goes wrong with it."""
        with self._turn:
            self.requests.append(headers)
            return self._script.pop(0) if self._script else self._after

    def stop(self) -> None:
        """Let silent answers go, then stop."""
        self.stopping.set()
        super().stop()


class _FaultyHandler(ReleaseHandler):
    story: FaultyReleaseServer
    fault = Fault()  # what a request that is no HTTP meets

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        self.fault = self.story.next_fault(self.headers)
        if self.fault.stall_head:
            self._go_silent()
        elif self.fault.redirect is not None:
            self.send_response(302)
            self.send_header("Location", self.fault.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.fault.status is not None:
            self.send_response(self.fault.status)
            self.send_header("Retry-After", str(self.fault.retry_after or 0))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()
        self.story.answered.set()

    def etag(self, file: Path) -> str:
        return super().etag(file) if self.fault.etag is None else self.fault.etag

    def extent(self, total: int, etag: str) -> Extent | None:
        if self.fault.ignore_range:
            return Extent(start=0, end=total, total=total)
        if self.fault.wrong_range:
            return Extent(start=1, end=total, total=total)
        return super().extent(total, etag)

    def send_header(self, keyword: str, value: str) -> None:
        chunked = self.fault.unsized or self.fault.endless
        if keyword == "Content-Length" and chunked:
            super().send_header("Transfer-Encoding", "chunked")
        elif keyword != "ETag" or value:
            super().send_header(keyword, value)
        if keyword == "Content-Type" and self.fault.encoding:
            super().send_header("Content-Encoding", self.fault.encoding)

    def send_body(self, file: BinaryIO, extent: Extent) -> None:
        file.seek(extent.start)
        sent = 0
        while sent < extent.length and not self.story.stopping.is_set():
            stops = [stop for stop in (self.fault.drop_after, self.fault.stall_after) if stop is not None]
            size = min([self.fault.piece, extent.length - sent, *(stop - sent for stop in stops)])
            if size:
                data = file.read(size)
                self._send(bytes(byte ^ 0xFF for byte in data[:1]) + data[1:] if self.fault.wrong_bytes else data)
                sent += size
            if sent == self.fault.drop_after:
                self._drop()
                return
            if sent == self.fault.stall_after:
                self._go_silent()
                return
        while self.fault.endless and not self.story.stopping.is_set():
            self._send(bytes(_PIECE))
        if self.fault.unsized:
            self.wfile.write(b"0\r\n\r\n")

    def _send(self, data: bytes) -> None:
        chunked = self.fault.unsized or self.fault.endless
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)

    def _go_silent(self) -> None:
        self.story.silent.set()
        self.story.stopping.wait()
        self.close_connection = True

    def _drop(self) -> None:
        self.close_connection = True
        if self.fault.reset:  # a lingering close of zero seconds is a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
