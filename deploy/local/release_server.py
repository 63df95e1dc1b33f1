"""A small web server for releases: files of one folder, with Range, ETag and If-Range (RFC 9110), for demo and tests.

Not for production: any web server or object store can serve images.
"""

from __future__ import annotations

import re
import socket
import ssl
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self
from urllib.parse import unquote, urlsplit

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The part of a file that an answer carries."""

    start: int
    end: int  #: the first byte that is not part of it
    total: int

    @property
    def length(self) -> int:
        """Bytes in the part."""
        return self.end - self.start


class ReleaseHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the files below ``folder``."""

    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        """Send a file or the part that Range names."""
        self._serve()

    def do_HEAD(self) -> None:
        """Send what GET would send, without the body."""
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the library's signature
        """Keep standard error for errors."""

    def etag(self, file: Path) -> str:
        """Return a strong validator: another file under the same name has another one."""
        status = file.stat()
        return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'

    def extent(self, total: int, etag: str) -> Extent | None:
        """Return the part that was asked for; None: it lies behind the end."""
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is None or self.headers.get("If-Range", etag) != etag:
            return Extent(start=0, end=total, total=total)
        start, end = int(asked[1]), min(int(asked[2]) + 1 if asked[2] else total, total)
        return Extent(start=start, end=end, total=total) if start < end else None

    def send_body(self, file: BinaryIO, extent: Extent) -> None:
        """Send the bytes of ``extent``; the kernel copies where it can."""
        self.connection.sendfile(file, extent.start, extent.length)

    def _serve(self) -> None:
        name = unquote(urlsplit(self.path).path).lstrip("/").replace("\0", "?")  # no file name holds a NUL
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder) or not path.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with path.open("rb") as file:
            etag, total = self.etag(path), path.stat().st_size
            extent = self.extent(total, etag)
            if extent is None:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            whole = extent.length == total
            self.send_response(HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT)
            if not whole:
                self.send_header("Content-Range", f"bytes {extent.start}-{extent.end - 1}/{total}")
            self.send_header("Content-Length", str(extent.length))
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", etag)
            self.end_headers()
            if self.command == "GET":
                self.send_body(file, extent)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # a whole wave of nodes may knock at once

    def __init__(self, address: tuple[str, int], handler: type[ReleaseHandler], tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; the TLS handshake is left to the connection's own thread, which does it on its first read."""
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def close_request(self, request: Any) -> None:  # noqa: ANN401 - the library's signature
        """Forget the connection as it is closed."""
        with self._lock:
            self._connections.discard(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the library's signature
        """Pass over clients that hang up, and say everything else."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End all connections, so that their threads end."""
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class ReleaseServer:
    """Serves ``folder`` from a thread of its own between ``start`` and ``stop``, or inside a ``with``."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Listen at once (port 0: any free one), answer after ``start``."""
        self._scheme = "http" if tls is None else "https"
        self._host = host
        self._server = _Server((host, port), self.make_handler(folder.resolve()), tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="releases", daemon=True)

    def make_handler(self, folder: Path) -> type[ReleaseHandler]:
        """Return the class that answers, bound to ``folder``."""
        return type("BoundHandler", (ReleaseHandler,), {"folder": folder})

    @property
    def url(self) -> str:
        """The folder's address, without a slash at the end."""
        return f"{self._scheme}://{self._host}:{self._server.server_port}"

    def start(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End, open transfers too, and free the port; also of one that was never started."""
        if self._thread.ident is not None:
            self._server.shutdown()  # waits for the thread, and for ever if there was none
            self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
