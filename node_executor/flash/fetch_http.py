"""Images over HTTP and HTTPS, across dropped connections.

Rules (RFC 9110, sections 13 and 14):
- A transfer that broke goes on by ``Range``, with ``If-Range`` where the source gave a strong validator.
- 206 must start where we asked; 200 means that ``Range`` was ignored, and what is here already is skipped.
- Another ETag, date or size than at first means another image: the transfer ends, it is never spliced.
- A connection that brought bytes renews the budget of fruitless ones.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import structlog
import urllib3
from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_exponential_jitter,
)
from urllib3.response import BaseHTTPResponse

from node_executor.flash.causes import shown, status_error, transfer_error
from node_executor.flash.fetch import READ_SIZE, Bounds, Sink
from node_executor.flash.settings import FlashSettings
from shared.errors import ShortBodyError, SourceChangedError, SourceRefusedError, SourceUnreachableError, TlsError

log: Final[Any] = structlog.get_logger(__name__)

_OK, _PARTIAL, _BEYOND = 200, 206, 416
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")


@dataclass(frozen=True)
class Identity:
    """What tells one version of a source from another; "" and None: the source does not say."""

    etag: str
    modified: str
    total: int | None

    @property
    def validator(self) -> str:
        """The value for If-Range: only a strong ETag will do."""
        return "" if self.etag.startswith("W/") else self.etag

    def differs(self, other: Identity) -> bool:
        """Whether both cannot name the same bytes."""
        if self.total is not None and other.total is not None and self.total != other.total:
            return True
        if self.etag and other.etag:
            return self.etag != other.etag
        return bool(self.modified and other.modified and self.modified != other.modified)


class HttpSource:
    """One image on a web server."""

    def __init__(self, url: str, bounds: Bounds, settings: FlashSettings) -> None:
        self._url = url
        self._name = shown(url)
        self._bounds = bounds
        self._settings = settings
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=settings.connect_timeout, read=settings.read_timeout),
            ssl_context=_trust(settings) if url.startswith("https:") or settings.ca_file else None,
        )
        self._identity: Identity | None = None
        self._response: BaseHTTPResponse | None = None
        self._offset = 0
        self._ended = False
        self.total = bounds.size

    def probe(self, stop: threading.Event) -> int | None:
        """Ask for the first byte alone: unlike HEAD, signed links allow it."""
        with self._pool:
            self._persist(stop, self._ask_size)
        return self.total

    def pour(self, sink: Sink, stop: threading.Event, offset: int = 0) -> None:
        """Fetch from ``offset`` to the end, over as many connections as it takes."""
        self._offset = offset
        with self._pool:
            for _ in range(self._settings.max_connections):
                self._persist(stop, lambda: self._leg(sink, stop))
                if self._ended or stop.wait(0):
                    return
                stop.wait(self._settings.first_wait)
        message = f"cannot fetch {self._name}: {self._settings.max_connections} connections broke one after the other"
        raise SourceUnreachableError(message, cure="check the network")

    def abort(self) -> None:
        """Shut the socket of the present response for reading."""
        response = self._response
        with suppress(ValueError, RuntimeError, OSError):  # already over: nothing is blocked
            if response is not None:
                response.shutdown()

    def _persist(self, stop: threading.Event, work: Callable[[], None]) -> None:
        """Do ``work`` again while it fails for reasons that may pass."""
        settings = self._settings
        Retrying(
            retry=retry_if_exception_type((SourceUnreachableError, ShortBodyError)),
            stop=stop_after_attempt(settings.attempts) | stop_when_event_set(stop),
            wait=wait_exponential_jitter(
                multiplier=settings.first_wait, max=settings.longest_wait, jitter=settings.first_wait
            ),
            sleep=sleep_using_event(stop),
            before_sleep=lambda state: log.info(
                "source failed; trying again", source=self._name, attempt=state.attempt_number, offset=self._offset
            ),
            reraise=True,
        )(work)

    def _ask_size(self) -> None:
        with self._answer({"Range": "bytes=0-0"}):
            pass

    def _leg(self, sink: Sink, stop: threading.Event) -> None:
        """Fetch over one connection; one that broke after at least one byte has come part of the way, not failed."""
        start = self._offset
        try:
            self._stream(sink, stop)
        except (SourceUnreachableError, ShortBodyError) as error:
            if self._offset == start and not stop.is_set():
                raise
            log.info("source broke off; resuming", source=self._name, offset=self._offset, cause=str(error))

    def _stream(self, sink: Sink, stop: threading.Event) -> None:
        headers: dict[str, str] = {}
        if self._offset:
            headers["Range"] = f"bytes={self._offset}-"
            if self._identity and self._identity.validator:
                headers["If-Range"] = self._identity.validator
        with self._answer(headers) as response:
            self._ended = response.status == _BEYOND  # checked: it begins exactly behind what we have
            skip = self._offset if response.status == _OK else 0
            while not self._ended and not stop.is_set():
                data = response.read1(READ_SIZE)  # read1: what has come is kept when the rest does not come
                if not data:
                    self._ended = True
                if skip >= len(data):
                    skip -= len(data)
                    continue
                self._offset += len(data) - skip
                sink(data[skip:])
                skip = 0
        if self._ended and self.total is not None and self._offset < self.total:
            self._ended = False
            message = f"cannot fetch {self._name}: it ended after {self._offset} of {self.total} bytes"
            raise ShortBodyError(message, cure="publish the image again; the server's copy may be cut short")

    @contextmanager
    def _answer(self, headers: dict[str, str]) -> Iterator[BaseHTTPResponse]:
        """Ask, check the answer's head, and lend it for its body."""
        try:
            response = self._pool.request(
                "GET",
                self._url,
                headers={"Accept-Encoding": "identity", **self._login(), **headers},
                preload_content=False,
                decode_content=False,
                retries=urllib3.Retry(
                    total=self._settings.redirects, connect=0, read=0, other=0, respect_retry_after_header=False
                ),
            )
            self._response = response
            try:
                self._check(response, headers)
                yield response
            finally:
                self._response = None
                response.close()
        except urllib3.exceptions.HTTPError as error:
            raise self._explain(error) from error

    def _explain(self, error: urllib3.exceptions.HTTPError) -> Exception:
        inner = error.args[-1] if error.args else None
        if isinstance(inner, urllib3.exceptions.IncompleteRead) and self.total is not None:
            message = f"cannot fetch {self._name}: it ended after {self._offset} of {self.total} bytes"
            return ShortBodyError(message, cure="publish the image again; the server's copy may be cut short")
        return transfer_error(self._name, error)

    def _check(self, response: BaseHTTPResponse, asked: dict[str, str]) -> None:
        """Make sure that the answer brings the image that we began with, from where we asked."""
        resuming = "Range" in asked and self._offset > 0
        if response.status not in (_OK, _PARTIAL) and not (response.status == _BEYOND and "Range" in asked):
            raise status_error(self._name, response.status)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            message = f"cannot fetch {self._name}: it is sent {response.headers['Content-Encoding']}-encoded, unasked"
            raise SourceRefusedError(message, cure="switch content encoding off for images on the release server")
        start, total = self._extent(response)
        identity = Identity(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""), total)
        beyond = response.status == _BEYOND and total != self._offset
        if self._identity is not None and (identity.differs(self._identity) or beyond):
            message = f"cannot fetch {self._name}: it changed after {self._offset} bytes had come"
            raise SourceChangedError(
                message, cure="publish each image under a name of its own, and send the order again"
            )
        if response.status == _PARTIAL and start != (self._offset if resuming else 0):
            message = f"cannot fetch {self._name}: asked from byte {self._offset}, it answers from byte {start}"
            raise SourceRefusedError(message, cure="repair the release server's handling of Range")
        self._bounds.check(self._name, total)
        self._identity = self._identity or identity
        self.total = self.total if total is None else total

    def _extent(self, response: BaseHTTPResponse) -> tuple[int | None, int | None]:
        """Return where the body starts and the whole image's size, as far as the answer says."""
        if response.status == _OK:
            return 0, getattr(response, "length_remaining", None)
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None:
            return None, None
        return (int(found[1]) if found[1] else None), (int(found[2]) if found[2] != "*" else None)

    def _login(self) -> dict[str, str]:
        user = urllib3.util.parse_url(self._url).auth
        return urllib3.util.make_headers(basic_auth=unquote(user)) if user else {}


def _trust(settings: FlashSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        message = f"cannot read CA bundle {settings.ca_file}: {error.strerror or error}"
        raise TlsError(message, cure="set ca_file to a PEM file with the CA of the release server") from error
