"""What went wrong, said for people: exceptions of the operating system and of urllib3 become ours."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import urlsplit, urlunsplit

from urllib3 import exceptions as broken

from shared.errors import (
    DiskFullError,
    SlotError,
    SlotInUseError,
    SlotVanishedError,
    SourceRefusedError,
    SourceUnreachableError,
    TlsError,
    TransportError,
)
from shared.slots import Slot

#: Statuses behind which the source may be well again in a moment (RFC 9110, RFC 6585).
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_GONE = frozenset({errno.ENODEV, errno.EIO, errno.ENOENT, errno.ENXIO, errno.ENOMEDIUM, errno.ESTALE, errno.EREMOTEIO})
_PROTECTED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def shown(url: str) -> str:
    """Return ``url`` without user, password and query: signed links carry their secret there."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@contextmanager
def file_error(source: str) -> Iterator[None]:
    """Turn the operating system's complaint about a source file into ours.

    Raises:
        SourceUnreachableError: with the reason, whatever it was.
    """
    try:
        yield
    except OSError as error:
        message = f"cannot fetch {source}: {_words(error)}"
        raise SourceUnreachableError(message, cure="check the path, and that its disk is mounted") from error


@contextmanager
def slot_error(verb: str, slot: Slot, where: str) -> Iterator[None]:
    """Turn the operating system's complaint about a slot into ours.

    Raises:
        DiskFullError, SlotVanishedError, SlotInUseError, SlotError: by errno.
    """
    try:
        yield
    except OSError as error:
        head = f"cannot {verb} slot {slot} on {where}: {_words(error)}"
        raise _by_errno(error.errno, head) from error


def _by_errno(code: int | None, head: str) -> SlotError:
    if code in _FULL:
        return DiskFullError(head, cure="free space on the disk that holds the slot")
    if code in _GONE:
        return SlotVanishedError(head, cure="check the disk and its cable, and the kernel's log")
    if code == errno.EBUSY:
        return SlotInUseError(head, cure="unmount the slot and end what holds it")
    if code in _PROTECTED:
        return SlotError(head, cure="run the executor as root, and lift the disk's write protection")
    return SlotError(head, cure="see the kernel's log")


def status_error(source: str, status: int) -> TransportError:
    """Return the error for an HTTP answer that brings no image."""
    try:
        phrase = HTTPStatus(status).phrase.lower()
    except ValueError:
        phrase = "not a status of HTTP"
    head = f"cannot fetch {source}: HTTP {status} ({phrase})"
    if status in _PASSING:
        return SourceUnreachableError(head, cure="look at the release server's log; the order can be sent again")
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return SourceRefusedError(head, cure="check the path in the order's source, and that the image is published")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return SourceRefusedError(head, cure="let this node read the image, or renew the signed link")
    return SourceRefusedError(head, cure="open the source with curl from this node")


def transfer_error(source: str, error: broken.HTTPError) -> TransportError:
    """Return the error for whatever urllib3 raised, with the innermost cause that says most."""
    reason = error.reason if isinstance(error, broken.MaxRetryError) and error.reason else error
    kind: type[TransportError] = SourceUnreachableError
    detail, cure = str(reason), "open the source with curl from this node"
    match reason:
        case broken.SSLError():
            kind, detail, cure = _tls_cause(reason)
        case broken.NameResolutionError():
            detail, cure = "its host name has no address", "check the name and the node's DNS"
        case broken.NewConnectionError():
            detail, cure = _innermost(reason.__cause__ or reason), "check that the release server runs there"
        case broken.ConnectTimeoutError():
            detail, cure = "no connection in time", "check the route and the firewall"
        case broken.ReadTimeoutError():
            detail, cure = "it sent nothing in time", "look at the release server's load"
        case broken.ProtocolError():
            detail, cure = f"the connection broke ({_innermost(reason)})", "check the network and the release server"
        case broken.ResponseError() if "redirect" in detail:
            kind, detail, cure = SourceRefusedError, "it redirects in circles", "give the image's final address"
        case broken.LocationValueError() | broken.InvalidHeader():
            kind, cure = SourceRefusedError, "check the source's address and where it redirects to"
    return kind(f"cannot fetch {source}: {detail}", cure=cure)


def _tls_cause(error: broken.SSLError) -> tuple[type[TransportError], str, str]:
    inner = error.args[0] if error.args else error
    if isinstance(inner, ssl.SSLCertVerificationError):
        cure = "trust the server's CA with ca_file, and check the name in the source and this node's clock"
        return TlsError, f"its certificate is refused: {inner.verify_message}", cure
    if isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return SourceUnreachableError, "the TLS connection was cut", "check the network and the release server"
    detail = getattr(inner, "reason", None) or str(inner)
    return TlsError, f"the TLS handshake failed: {detail}", "check that the port speaks TLS 1.2 or newer"


def _innermost(error: BaseException) -> str:
    """Return the last words of a chain such as ProtocolError('aborted', ConnectionResetError(104, 'reset'))."""
    inner = error.args[-1] if error.args and isinstance(error.args[-1], BaseException) else error
    return _words(inner)


def _words(error: BaseException) -> str:
    """Return what an error says, in the lower case of our messages."""
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
