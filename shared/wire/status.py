"""Errors <-> gRPC status. The only place that knows gRPC codes.

A failed call carries an ``ErrorDetail`` in its trailing metadata, so that the other side rebuilds the same class
with message and cure. A status without it comes from gRPC itself, from a proxy or from a foreign server: then the
code alone has to name the class.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from shared import errors
from shared.errors import FleetError
from shared.proto import common_pb2 as pb

#: Trailing metadata key of the serialized ``ErrorDetail``; "-bin" makes gRPC carry bytes.
ERROR_METADATA_KEY: Final = "maticos-error-bin"
#: Bytes of UTF-8. gRPC peers may refuse more than 8 KiB of metadata in a call; percent-encoding triples the message,
#: base64 adds a third to the detail: 900 x 3 + 2 x 900 x 4/3 stays well below.
_TEXT_LIMIT = 900

#: The code of each family; a class without a row takes its nearest ancestor's.
_CODES: Final[dict[type[FleetError], grpc.StatusCode]] = {
    errors.FleetError: grpc.StatusCode.INTERNAL,
    errors.InputError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFoundError: grpc.StatusCode.NOT_FOUND,
    errors.NotAllowedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.ConflictError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    errors.StaleVersionError: grpc.StatusCode.ABORTED,
    errors.ImageError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.NodeError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.DiskFullError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.TransportError: grpc.StatusCode.UNAVAILABLE,
    errors.WaitTimeoutError: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.EnvelopeError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.SignatureError: grpc.StatusCode.UNAUTHENTICATED,
}

#: The way back for a status without detail.
_FAMILIES: Final[dict[grpc.StatusCode, type[FleetError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InputError,
    grpc.StatusCode.OUT_OF_RANGE: errors.InputError,
    grpc.StatusCode.UNIMPLEMENTED: errors.InputError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.PERMISSION_DENIED: errors.NotAllowedError,
    grpc.StatusCode.UNAUTHENTICATED: errors.NotAllowedError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.ConflictError,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExistsError,
    grpc.StatusCode.ABORTED: errors.ConflictError,
    grpc.StatusCode.UNAVAILABLE: errors.TransportError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.TransportError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.TransportError,
    grpc.StatusCode.CANCELLED: errors.TransportError,
}

_CURES: Final[dict[grpc.StatusCode, str]] = {
    grpc.StatusCode.UNIMPLEMENTED: "check that the address is of the kind (controller or node) that the context says",
    grpc.StatusCode.DEADLINE_EXCEEDED: "try again; the other side was reached but did not answer in time",
}


def status_code(error: FleetError) -> grpc.StatusCode:
    """Return the gRPC code of an error: its class's, or its nearest ancestor's."""
    return next(_CODES[cls] for cls in type(error).__mro__ if cls in _CODES)


def detail_of(error: FleetError) -> pb.ErrorDetail:
    """Return the message that carries an error across; over-long texts are cut."""
    return pb.ErrorDetail(
        kind=error.kind,
        message=_cut(error.message),
        cure=_cut(error.cure),
        retriable=error.retriable,
    )


def _cut(text: str) -> str:
    return text.encode()[:_TEXT_LIMIT].decode(errors="ignore")


def _detail_in(error: grpc.RpcError) -> pb.ErrorDetail | None:
    if not isinstance(error, grpc.Call):
        return None
    metadata: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == ERROR_METADATA_KEY and isinstance(value, bytes):
            try:
                return pb.ErrorDetail.FromString(value)
            except DecodeError:
                return None
    return None


def has_detail(error: grpc.RpcError) -> bool:
    """Whether the other side itself named the error; otherwise the call may never have reached it."""
    return _detail_in(error) is not None


def error_from_rpc(error: grpc.RpcError) -> FleetError:
    """Return the error that the server raised, or the nearest one that the bare status allows.

    The result is not chained: raise it ``from error``.
    """
    if not isinstance(error, grpc.Call):
        return FleetError(f"cannot finish the call: {error}")
    code = error.code()
    family = _FAMILIES.get(code, FleetError)
    detail = _detail_in(error)
    if detail is not None:
        # A kind that a newer server added is unknown here; its code still names the family.
        cls = errors.all_errors().get(detail.kind, family)
        return cls(detail.message, cure=detail.cure)
    return family(f"the call failed with {code.name}: {error.details()}", cure=_CURES.get(code, ""))
