"""What ingest does not believe, and what it cannot store."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from controller.ingest import AUDITED_REFUSALS, LONGEST_REASON
from controller.store.store import Store
from shared.celery_message import write_message
from shared.messages import Event
from shared.queues import EVENT_TASK, EVENTS_QUEUE, dead_list
from shared.signing import Signer
from shared.states import EventKind
from tests.support.control import Control
from tests.support.rollouts import NOW

MEGABYTE = 1 << 20


@pytest.fixture
def control(store: Store, redis_url: str) -> Control:
    """Two registered nodes."""
    made = Control(store, redis_url)
    made.register("n0", "n1")
    return made


def _hello(node_id: str = "n0", seq: int = 1) -> Event:
    return Event(id=f"{node_id}-{seq}", kind=EventKind.HELLO, node_id=node_id, seq=seq, at=NOW)


def _raw(control: Control, *args: Any) -> None:
    control.redis.lpush(EVENTS_QUEUE, write_message(EVENT_TASK, "t1", list(args), EVENTS_QUEUE))


def _stranger(control: Control) -> None:
    control.push(_hello("ghost"), signer=Signer("ghost", Ed25519PrivateKey.generate()))


def _forged(control: Control) -> None:
    control.push(_hello(), signer=Signer("n0", Ed25519PrivateKey.generate()))


def _borrowed(control: Control) -> None:
    control.push(_hello("n0"), signer=Signer("n1", control.node_keys["n1"]))


def _altered(control: Control) -> None:
    envelope = Signer("n0", control.node_keys["n0"]).seal(_hello())
    _raw(control, envelope | {"payload": envelope["payload"].replace('"seq":1', '"seq":2')})


def _newer(control: Control) -> None:
    _raw(control, Signer("n0", control.node_keys["n0"]).seal(_hello()) | {"v": 99})


def _two_arguments(control: Control) -> None:
    envelope = Signer("n0", control.node_keys["n0"]).seal(_hello())
    _raw(control, envelope, envelope)


def _not_celery(control: Control) -> None:
    control.redis.lpush(EVENTS_QUEUE, b"\xff\x00 no message")


def _no_envelope(control: Control) -> None:
    _raw(control, "just text")


def _endless_name(control: Control) -> None:
    envelope = Signer("n0", control.node_keys["n0"]).seal(_hello())
    _raw(control, envelope | {"key_id": "n" * MEGABYTE})


def _endless_version(control: Control) -> None:
    envelope = Signer("n0", control.node_keys["n0"]).seal(_hello())
    _raw(control, envelope | {"v": "1" * MEGABYTE})


@pytest.mark.parametrize(
    ("send", "kind", "subject"),
    [
        pytest.param(_stranger, "not_allowed", "ghost", id="unknown-node"),
        pytest.param(_forged, "bad_signature", "n0", id="forged-key"),
        pytest.param(_borrowed, "bad_signature", "n1", id="in-anothers-name"),
        pytest.param(_altered, "bad_signature", "n0", id="altered"),
        pytest.param(_newer, "unknown_schema_version", "n0", id="newer-schema"),
        pytest.param(_two_arguments, "bad_envelope", "", id="two-arguments"),
        pytest.param(_not_celery, "bad_envelope", "", id="not-celery"),
        pytest.param(_no_envelope, "bad_envelope", "", id="no-envelope"),
        pytest.param(_endless_name, "bad_envelope", "", id="endless-name"),
        pytest.param(_endless_version, "unknown_schema_version", "n0", id="endless-version"),
    ],
)
def test_what_cannot_be_believed_is_recorded_and_dropped(
    control: Control, send: Callable[[Control], None], kind: str, subject: str
) -> None:
    send(control)
    control.push(_hello("n1", 7))

    control.ingest.step()

    with control.store.snapshot() as tx:
        stored, (entry,), node = tx.events.list(), tx.audit.list(), tx.nodes.get("n0")
    assert stored == [_hello("n1", 7)]
    assert (entry.action, entry.subject, entry.reason.partition(":")[0]) == ("event.refuse", subject, kind)
    assert len(entry.reason) < LONGEST_REASON + 30
    assert (node.last_seen, control.pushed(), control.count("events_refused", kind=kind)) == (None, 0, 1)


def test_a_flood_of_garbage_does_not_flood_the_audit_trail(control: Control) -> None:
    flood = AUDITED_REFUSALS + 50
    for _ in range(flood):
        _not_celery(control)

    control.ingest.step()
    _not_celery(control)
    control.ingest.step()

    with control.store.snapshot() as tx:
        assert len(tx.audit.list(limit=1000)) == AUDITED_REFUSALS
    assert control.count("events_refused", kind="bad_envelope") == flood + 1


def test_an_event_that_no_database_can_hold_does_not_hold_up_the_others(control: Control) -> None:
    control.push(_hello("n0", 1), _hello("n0", 2**70), _hello("n1", 1))

    control.ingest.step()

    with control.store.snapshot() as tx:
        stored = {each.id for each in tx.events.list()}
    (dead,) = control.redis.lrange(dead_list(EVENTS_QUEUE), 0, -1)
    assert stored == {"n0-1", "n1-1"}
    assert json.loads(dead)["headers"]["id"] == f"n0-{2**70}"
    assert control.pushed() == 0
