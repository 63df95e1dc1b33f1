"""A TCP proxy before Redis that can go silent with its sockets open: a power cut or a dead link as Redis sees it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s; close() then sends RST


@dataclass(eq=False)
class _Link:
    client: socket.socket
    server: socket.socket
    frozen: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    def end(self) -> None:
        self.over.set()
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Proxy:
    """Forwards 127.0.0.1:``port`` to the Redis at ``target``; with ``tls`` it speaks TLS to its clients."""

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self._target, self._tls = target, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._links: list[_Link] = []
        self._trap: tuple[bytes, bool] | None = None
        self.trapped = threading.Event()  #: set when ``trap`` has caught its command
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                try:
                    if self._tls:
                        client = self._tls.wrap_socket(client, server_side=True)
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                link = _Link(client, server)
                self._links.append(link)
                threading.Thread(target=self._pump, args=(link, client, server), daemon=True).start()
                threading.Thread(target=self._pump, args=(link, server, client), daemon=True).start()

    def _pump(self, link: _Link, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                trap = self._trap
                if trap and source is link.client and trap[0] in data:
                    self._trap = None
                    link.frozen = True
                    if trap[1]:
                        sink.sendall(data)
                    self.trapped.set()
                if link.frozen:
                    break
                sink.sendall(data)
        if link.frozen:
            link.over.wait()  # whatever comes goes nowhere, and nobody is told
        link.end()

    def trap(self, command: bytes, *, deliver: bool) -> None:
        """Freeze the connection that sends ``command`` next; ``deliver``: Redis gets it, only its answer is lost."""
        self.trapped.clear()
        self._trap = (command, deliver)

    def freeze(self) -> None:
        """Forward nothing more on the connections of now; later ones work."""
        for link in self._links:
            link.frozen = True

    def reset_clients(self) -> None:
        """Break the worker's ends of the frozen connections; Redis' ends stay open and silent."""
        for link in [link for link in self._links if link.frozen]:
            link.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with contextlib.suppress(OSError):
                link.client.shutdown(socket.SHUT_RD)  # wakes the pump that reads it
            link.client.close()

    def drop(self, *, frozen_only: bool = False) -> None:
        """End connections on both sides."""
        for link in [link for link in self._links if link.frozen or not frozen_only]:
            self._links.remove(link)
            link.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
