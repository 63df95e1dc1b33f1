"""Every error that crosses a boundary of MaticOS Fleet.

Rules:
- A family says who can mend it; ``kind`` is a slug for machines (log field, history row, gRPC detail, metric
  label alike); the message is a sentence for people; ``cure`` says what to do next.
- The class docstring is the default message, so text and documentation cannot drift.
- Only ``shared.wire`` knows gRPC codes and only osctl knows exit codes.
- An unhealthy node is a ``Verdict``, not an error.
"""

from __future__ import annotations

from typing import ClassVar


class FleetError(Exception):
    """Something in MaticOS Fleet went wrong."""

    kind: ClassVar[str] = "internal"
    retriable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, cure: str = "") -> None:
        """Keep ``message`` (default: the class docstring) and ``cure``, a hint in the imperative."""
        # Under ``python -OO`` there are no docstrings; the kind is a message, too.
        self.message = message or (type(self).__doc__ or self.kind).splitlines()[0]
        self.cure = cure
        super().__init__(self.message)


# --- the operator can mend it -------------------------------------------------------------------------------


class InputError(FleetError):
    """The request is not valid."""

    kind = "invalid_input"


class NotFoundError(FleetError):
    """The thing named does not exist."""

    kind = "not_found"


class NotAllowedError(FleetError):
    """The caller may not do this."""

    kind = "not_allowed"


class ConflictError(FleetError):
    """The request does not fit the present state; read the state again."""

    kind = "conflict"


class AlreadyExistsError(ConflictError):
    """The name or idempotency key is already taken by something else."""

    kind = "already_exists"


class IllegalTransitionError(ConflictError):
    """No row of the state table allows this."""

    kind = "illegal_transition"


class StaleVersionError(ConflictError):
    """Somebody else changed the row first."""

    kind = "stale_version"
    retriable = True


# --- the image is at fault ----------------------------------------------------------------------------------


class ImageError(FleetError):
    """The image cannot be used."""

    kind = "image_refused"


class DigestMismatchError(ImageError):
    """The image's bytes are not the ones the order names."""

    kind = "digest_mismatch"


class SizeMismatchError(ImageError):
    """The source delivers more or fewer bytes than the order names."""

    kind = "size_mismatch"


class ImageTooLargeError(ImageError):
    """The image does not fit into the slot."""

    kind = "image_too_large"


class SourceChangedError(ImageError):
    """The image at the source changed while it was being fetched."""

    kind = "source_changed"
    retriable = True


class IncompatibleImageError(ImageError):
    """The image is not for this kind of node."""

    kind = "incompatible_image"


class DeniedVersionError(ImageError):
    """This node has already rolled back from this version."""

    kind = "denied_version"


# --- the node is at fault -----------------------------------------------------------------------------------


class NodeError(FleetError):
    """The node cannot do this."""

    kind = "node_error"


class SlotError(NodeError):
    """The slot cannot be read or written."""

    kind = "slot_error"


class SlotInUseError(SlotError):
    """The slot is the running one, mounted or not proven: it must not be written."""

    kind = "slot_in_use"


class SlotVanishedError(SlotError):
    """The slot's disk is gone or answers with errors."""

    kind = "slot_vanished"


class DiskFullError(SlotError):
    """The disk under the slot or the state folder is full."""

    kind = "disk_full"


class ReadBackError(SlotError):
    """What was read back from the slot is not what was written."""

    kind = "read_back_mismatch"


class BootloaderError(NodeError):
    """The partition table's boot attributes cannot be read or changed."""

    kind = "bootloader_error"


class HookError(NodeError):
    """A hook failed."""

    kind = "hook_failed"


class StateFileError(NodeError):
    """A state file cannot be read or made durable."""

    kind = "state_file"


# --- waiting can mend it ------------------------------------------------------------------------------------


class TransportError(FleetError):
    """The other side cannot be reached."""

    kind = "unreachable"
    retriable = True


class SourceUnreachableError(TransportError):
    """The image's source cannot be reached."""

    kind = "source_unreachable"


class SourceRefusedError(TransportError):
    """The source answers, but does not hand the image out; asking again does not help."""

    kind = "source_refused"
    retriable = False


class ShortBodyError(TransportError):
    """The source ended the transfer before the whole image had come."""

    kind = "short_body"


class TlsError(TransportError):
    """The TLS handshake was refused."""

    kind = "tls_refused"
    retriable = False


class WaitTimeoutError(FleetError):
    """The awaited state was not reached in time."""

    kind = "wait_timeout"


# --- messages -----------------------------------------------------------------------------------------------


class EnvelopeError(FleetError):
    """The message's envelope is not acceptable."""

    kind = "bad_envelope"


class SignatureError(EnvelopeError):
    """The message's signature does not fit its content and sender."""

    kind = "bad_signature"


class SchemaVersionError(EnvelopeError):
    """The message's schema version is not known here."""

    kind = "unknown_schema_version"


class StaleOrderError(EnvelopeError):
    """A newer order for this node has already been taken."""

    kind = "stale_order"


class ExpiredOrderError(EnvelopeError):
    """The order's time to be started is over."""

    kind = "expired_order"


def all_errors() -> dict[str, type[FleetError]]:
    """Return every error class by its ``kind``: the way back from a wire or a row to a class."""
    found: dict[str, type[FleetError]] = {}
    todo: list[type[FleetError]] = [FleetError]
    while todo:
        cls = todo.pop()
        found[cls.kind] = cls
        todo.extend(cls.__subclasses__())
    return found
