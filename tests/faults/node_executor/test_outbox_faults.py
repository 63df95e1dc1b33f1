"""The outbox under kills: what ``append`` returned from is there, and reaches the controller in order."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.embedded_redis import RedisServer
from node_executor.outbox import Outbox
from shared.celery_message import decode_message
from shared.messages import Event
from shared.queues import EVENTS_QUEUE
from shared.signing import Signer, open_event
from shared.states import EventKind
from tests.support.outbox_writer import new_event
from tests.support.redis_nodes import wait_until

ROOT = Path(__file__).parents[3]
SIGNER = Signer("n1", Ed25519PrivateKey.generate())
KILLS = 10


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Outbox]:
    made = Outbox(tmp_path / "outbox.sqlite", SIGNER)
    yield made
    made.close()


def _delivered(client: redis.Redis) -> list[Event]:
    raw = reversed(client.lrange(EVENTS_QUEUE, 0, -1))
    key = SIGNER.key.public_key()
    return [open_event(decode_message(message)[0], key) for message in raw if isinstance(message, bytes)]


def test_every_event_that_append_returned_from_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    said: list[str] = []
    for kill in range(1, KILLS + 1):
        command = [sys.executable, "-m", "tests.support.outbox_writer", str(path), "n1"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout
            said += [writer.stdout.readline().strip() for _ in range(7 * kill)]
            writer.kill()
            rest = writer.stdout.read()
            said += [line.strip() for line in rest.splitlines(keepends=True) if line.endswith("\n")]

    box = Outbox(path, SIGNER)
    kept = box.pending()
    box.close()

    print(f"\n{KILLS} kills, {len(said)} events said to be durable, {len(kept)} kept")  # noqa: T201
    assert set(said) <= {event.id for event in kept}
    assert len(kept) - len(said) <= KILLS, "at most the one in hand at each kill was not said"
    assert [event.seq for event in kept] == list(range(1, len(kept) + 1))


def test_events_come_signed_in_order_and_leave_the_box(box: Outbox, redis_server: RedisServer) -> None:
    events = [new_event(EventKind.PHASE, str(n)) for n in range(250)]
    for event in events[:200]:
        box.append(event)

    box.start(redis_server.url)
    for event in events[200:]:
        box.append(event)
    wait_until("the box is empty", lambda: not box.pending())

    with redis_server.client() as client:
        delivered = _delivered(client)
    assert [event.id for event in delivered] == [event.id for event in events]
    assert [event.seq for event in delivered] == list(range(1, 251))


def test_redis_that_comes_and_goes_gets_every_event_in_order(box: Outbox, tmp_path: Path) -> None:
    durable = ["--appendonly", "yes", "--appendfsync", "always"]
    with RedisServer(tmp_path / "r", args=durable) as server:
        server.kill()
        box.start(server.url, longest_wait=0.05)
        for n in range(10):
            box.append(new_event(EventKind.PHASE, str(2 * n)))
            server.start()
            box.append(new_event(EventKind.PHASE, str(2 * n + 1)))
            if n % 2:
                wait_until("the box is empty", lambda: not box.pending())
            server.kill()
        server.start()
        wait_until("the box is empty", lambda: not box.pending())

        with server.client() as client:
            delivered = _delivered(client)
    first_seen = list(dict.fromkeys(event.seq for event in delivered))
    assert first_seen == list(range(1, 21)), "in order; a batch whose answer was lost comes twice"


def test_refusal_by_redis_keeps_the_events(box: Outbox, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(EVENTS_QUEUE, "not a list")
        box.append(new_event())
        box.start(redis_server.url, longest_wait=0.05)
        wait_until("it was refused", lambda: "errorstat_WRONGTYPE" in client.info("errorstats"))
        assert len(box.pending()) == 1

        client.delete(EVENTS_QUEUE)

        wait_until("the box is empty", lambda: not box.pending())
        assert [event.seq for event in _delivered(client)] == [1]


def test_closing_while_redis_is_away_keeps_the_events(box: Outbox, redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.stop()
    box.append(new_event())
    box.start(redis_server.url)
    box.append(new_event())

    box.close()  # pytest's timeout is the judge

    again = Outbox(tmp_path / "outbox.sqlite", SIGNER)
    assert [event.seq for event in again.pending()] == [1, 2]
    again.close()
