"""Envelopes: what is signed cannot be changed, and rubbish is named instead of crashing the reader."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import EnvelopeError, InputError, SchemaVersionError, SignatureError
from shared.messages import Event, Order
from shared.signing import (
    EVENT_TYPE,
    ORDER_TYPE,
    Signer,
    claimed_order_id,
    claimed_sender,
    envelope_from_json,
    open_event,
    open_order,
    pre_authentication_encoding,
    private_from_pem,
    private_to_pem,
    public_from_text,
    public_to_text,
)
from shared.states import EventKind, OrderKind

KEY = Ed25519PrivateKey.from_private_bytes(b"c" * 32)
NODE_KEY = Ed25519PrivateKey.from_private_bytes(b"n" * 32)
AT = datetime(2026, 1, 27, tzinfo=UTC)
ORDER = Order(id="o1", kind=OrderKind.ROLLBACK, node_id="n1", seq=7, issued_at=AT, reason="größer \u2028 als")
EVENT = Event(id="e1", kind=EventKind.HELLO, node_id="n1", seq=1, at=AT)

patient = settings(deadline=None)  # a busy machine is no failure


def order_envelope() -> dict[str, Any]:
    return Signer("controller", KEY).seal(ORDER)


def event_envelope() -> dict[str, Any]:
    return Signer("n1", NODE_KEY).seal(EVENT)


def over_the_wire(envelope: dict[str, Any]) -> object:
    return envelope_from_json(json.dumps(envelope))


def signed_payload(payload: str, payload_type: str = ORDER_TYPE) -> dict[str, Any]:
    """Return an envelope round any text, rightly signed."""
    signature = KEY.sign(pre_authentication_encoding(payload_type, payload.encode()))
    text = base64.b64encode(signature).decode()
    return {"v": 1, "type": payload_type, "key_id": "controller", "payload": payload, "signature": text}


def test_order_and_event_arrive_as_they_were_sent() -> None:
    assert open_order(over_the_wire(order_envelope()), KEY.public_key()) == ORDER
    assert open_event(over_the_wire(event_envelope()), NODE_KEY.public_key()) == EVENT


def test_the_signed_bytes_are_those_of_the_dsse_specification() -> None:
    # The example of secure-systems-lab/dsse, protocol.md.
    signed = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")

    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"payload": ORDER.model_copy(update={"seq": 8}).model_dump_json(exclude_none=True)}, SignatureError),
        ({"payload": ORDER.model_dump_json()}, SignatureError),
        ({"payload": "\ud800"}, SignatureError),
        ({"payload": None}, EnvelopeError),
        ({"payload": 7}, EnvelopeError),
        ({"signature": base64.b64encode(b"x" * 64).decode()}, SignatureError),
        ({"signature": base64.b64encode(b"short").decode()}, SignatureError),
        ({"signature": "ä!"}, SignatureError),
        ({"signature": ""}, SignatureError),
        ({"signature": None}, EnvelopeError),
        ({"type": EVENT_TYPE}, EnvelopeError),
        ({"type": None}, EnvelopeError),
        ({"v": 2}, SchemaVersionError),
        ({"v": "1"}, SchemaVersionError),
        ({"v": None}, SchemaVersionError),
        ({"key_id": None}, EnvelopeError),
        ({"key_id": 7}, EnvelopeError),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_no_field_can_be_changed(change: dict[str, object], error: type[EnvelopeError]) -> None:
    with pytest.raises(EnvelopeError) as refused:
        open_order({**order_envelope(), **change}, KEY.public_key())

    assert type(refused.value) is error


@pytest.mark.parametrize("field", ["v", "type", "key_id", "payload", "signature"])
def test_no_field_can_be_left_out(field: str) -> None:
    envelope = order_envelope()
    del envelope[field]

    with pytest.raises(EnvelopeError):
        open_order(envelope, KEY.public_key())


@patient
@given(st.data())
def test_not_one_character_of_the_payload_can_be_changed(data: st.DataObject) -> None:
    envelope = order_envelope()
    payload = envelope["payload"]
    at = data.draw(st.integers(0, len(payload) - 1))
    other = data.draw(st.characters().filter(lambda c: c != payload[at]))

    with pytest.raises(SignatureError):
        open_order({**envelope, "payload": payload[:at] + other + payload[at + 1 :]}, KEY.public_key())


def test_another_key_does_not_fit() -> None:
    with pytest.raises(SignatureError):
        open_order(order_envelope(), NODE_KEY.public_key())


def test_an_order_cannot_be_passed_off_as_an_event() -> None:
    with pytest.raises(EnvelopeError):
        open_event(order_envelope(), KEY.public_key())
    with pytest.raises(SignatureError):
        open_event({**order_envelope(), "type": EVENT_TYPE}, KEY.public_key())


def test_a_node_cannot_speak_for_another() -> None:
    impostor = Signer("n2", NODE_KEY).seal(EVENT)

    with pytest.raises(SignatureError, match="n2 signed for n1"):
        open_event(impostor, NODE_KEY.public_key())


@pytest.mark.parametrize("payload", ["", "[]", "{}", "null", '{"id": 1}', "[" * 100_000], ids=lambda text: text[:10])
def test_a_signed_payload_that_is_no_order_is_named(payload: str) -> None:
    with pytest.raises(EnvelopeError, match="cannot read message from controller") as refused:
        open_order(signed_payload(payload), KEY.public_key())

    assert type(refused.value) is EnvelopeError


@patient
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_comes_is_an_envelope_or_an_envelope_error(rubbish: object) -> None:
    for read in (open_order, open_event):
        with pytest.raises(EnvelopeError):
            read(rubbish, KEY.public_key())
    assert claimed_order_id(rubbish) == ""


@pytest.mark.parametrize(
    "text",
    ["", "{", b"\xff", "[" * 200_000, "1" * 5000],
    ids=["empty", "cut", "not UTF-8", "too deep", "too long a number"],
)
def test_text_that_is_no_json_is_named(text: str | bytes) -> None:
    with pytest.raises(EnvelopeError, match="cannot read envelope"):
        envelope_from_json(text)


def test_a_claim_can_be_read_before_it_is_proven() -> None:
    forged = {**order_envelope(), "signature": "forged"}

    assert (claimed_sender(forged), claimed_order_id(forged)) == ("controller", "o1")


@pytest.mark.parametrize("payload", ['{"id": 7}', '{"id": "' + "x" * 65 + '"}', "[" * 200_000, "7", "{"])
def test_a_claimed_order_id_that_makes_no_sense_is_left_out(payload: str) -> None:
    assert claimed_order_id({"payload": payload}) == ""


def test_keys_survive_being_written_down() -> None:
    assert private_from_pem(private_to_pem(KEY)).private_bytes_raw() == KEY.private_bytes_raw()
    assert public_from_text(f" {public_to_text(KEY.public_key())}\n") == KEY.public_key()


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"rubbish",
        ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
    ],
    ids=["empty", "rubbish", "another kind", "encrypted"],
)
def test_what_is_no_signing_key_is_refused(pem: bytes) -> None:
    with pytest.raises(InputError, match="cannot read signing key"):
        private_from_pem(pem)


@pytest.mark.parametrize("text", ["", "rubbish", "ä", "AAAA", base64.b64encode(b"x" * 33).decode()])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="cannot read public key"):
        public_from_text(text)
