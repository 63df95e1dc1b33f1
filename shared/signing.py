"""Ed25519 envelopes round orders and events.

The signature covers the DSSE pre-authentication encoding (secure-systems-lab/dsse, protocol.md) of the payload
type and the exact payload bytes, so neither can be exchanged for the other. The payload travels as a JSON
string: it is verified before it is parsed.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, TypeVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import ValidationError

from shared.errors import EnvelopeError, InputError, SchemaVersionError, SignatureError
from shared.messages import Event, Model, Order
from shared.queues import valid_node_id

#: Version of the envelope and of the models in it.
SCHEMA_VERSION = 1
ORDER_TYPE = "application/vnd.maticos.order+json"
EVENT_TYPE = "application/vnd.maticos.event+json"
#: Characters of an id that is claimed and not proven.
_LONGEST_ID = 64

M = TypeVar("M", bound=Model)


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: ``DSSEv1 len(type) type len(payload) payload``."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True)
class Signer:
    """Signs as ``key_id``: the node's id, or ``controller``."""

    key_id: str
    key: Ed25519PrivateKey

    def seal(self, message: Order | Event) -> dict[str, Any]:
        """Return the JSON-ready envelope of ``message``."""
        payload_type = ORDER_TYPE if isinstance(message, Order) else EVENT_TYPE
        payload = message.model_dump_json(exclude_none=True).encode()
        signature = self.key.sign(pre_authentication_encoding(payload_type, payload))
        return {
            "v": SCHEMA_VERSION,
            "type": payload_type,
            "key_id": self.key_id,
            "payload": payload.decode(),
            "signature": base64.b64encode(signature).decode(),
        }


def claimed_sender(envelope: object) -> str:
    """Return the key id that an envelope claims, to look up the key with; prove it with ``open_*``.

    Raises:
        EnvelopeError: it is not an envelope, or what it claims can be nobody's id.
    """
    claimed = envelope.get("key_id") if isinstance(envelope, dict) else None
    if not isinstance(claimed, str):
        raise EnvelopeError(f"cannot read envelope: {str(envelope)[:80]!r} has no key_id")
    if not valid_node_id(claimed):
        raise EnvelopeError(f"cannot read envelope: its key_id {claimed[:80]!r} is nobody's")
    return claimed


def _open(envelope: object, key: Ed25519PublicKey, payload_type: str, model: type[M]) -> M:
    sender = claimed_sender(envelope)
    assert isinstance(envelope, dict)  # noqa: S101 - claimed_sender has checked it
    if envelope.get("v") != SCHEMA_VERSION:
        raise SchemaVersionError(
            f"cannot read message from {sender}: schema version {envelope.get('v')!r}, known here is {SCHEMA_VERSION}",
            cure="update the older side of the two",
        )
    payload, signature = envelope.get("payload"), envelope.get("signature")
    if envelope.get("type") != payload_type or not isinstance(payload, str) or not isinstance(signature, str):
        raise EnvelopeError(f"cannot read message from {sender}: it is not of type {payload_type}")
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, pre_authentication_encoding(payload_type, payload.encode()))
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(f"cannot trust message from {sender}: the signature does not fit") from error
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise EnvelopeError(f"cannot read message from {sender}: {error.errors()[0]['msg']}") from error


def open_order(envelope: object, key: Ed25519PublicKey) -> Order:
    """Return the order in ``envelope``.

    Raises:
        EnvelopeError: not an envelope, unknown schema version, wrong signature or not an order.
    """
    return _open(envelope, key, ORDER_TYPE, Order)


def open_event(envelope: object, key: Ed25519PublicKey) -> Event:
    """Return the event in ``envelope``; the node that it names is the one that signed it.

    Raises:
        EnvelopeError: not an envelope, unknown schema version, wrong signature, not an event, or another's name.
    """
    event = _open(envelope, key, EVENT_TYPE, Event)
    if event.node_id != claimed_sender(envelope):
        raise SignatureError(f"cannot trust event {event.id}: {claimed_sender(envelope)} signed for {event.node_id}")
    return event


def private_to_pem(key: Ed25519PrivateKey) -> bytes:
    """Return an unencrypted PKCS#8 PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def private_from_pem(pem: bytes) -> Ed25519PrivateKey:
    """Load a signing key.

    Raises:
        InputError: the PEM holds no Ed25519 private key.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"cannot read signing key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("cannot read signing key: it is not an Ed25519 key")
    return key


def public_to_text(key: Ed25519PublicKey) -> str:
    """Return the 32 raw bytes in base64: short enough for a column and a command line."""
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def public_from_text(text: str) -> Ed25519PublicKey:
    """Load what ``public_to_text`` wrote.

    Raises:
        InputError: not the base64 of 32 bytes.
    """
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text.strip(), validate=True))
    except ValueError as error:
        raise InputError(f"cannot read public key {text[:60]!r}: {error}") from error


def envelope_from_json(text: str | bytes) -> object:
    """Parse JSON that should be an envelope.

    Raises:
        EnvelopeError: not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # a megabyte of "[" nests too deeply for Python's parser
        raise EnvelopeError(f"cannot read envelope: {error}") from error


def claimed_order_id(envelope: object) -> str:
    """Return the id of the order that an unverified envelope claims to hold, or "": for reports, never to act on."""
    payload = envelope.get("payload") if isinstance(envelope, dict) else None
    try:
        claimed = json.loads(payload) if isinstance(payload, str) else None
    except (ValueError, RecursionError):
        return ""
    found = claimed.get("id") if isinstance(claimed, dict) else None
    return found if isinstance(found, str) and len(found) <= _LONGEST_ID else ""
