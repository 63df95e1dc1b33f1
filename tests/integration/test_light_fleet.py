"""A fleet of light nodes in one process, on a real Redis: takes what was left behind, outlives Redis, and scales."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.local.embedded_redis import RedisServer
from deploy.local.light_node import LightFleet, LightNode
from deploy.local.simulated import SimulatedMachine
from deploy.local.waiting import wait_until
from shared.celery_app import controller_app, publish_orders, redis_client
from shared.celery_message import decode_message
from shared.messages import Event, Order
from shared.queues import EVENTS_QUEUE, orders_queue, work_list
from shared.signing import Signer, claimed_sender, open_event
from shared.states import EventKind, OrderKind, Phase
from tests.support.updates import update

CONTROLLER = Signer("controller", Ed25519PrivateKey.generate())


def signers(count: int) -> dict[str, Signer]:
    return {f"light-{n:03d}": Signer(f"light-{n:03d}", Ed25519PrivateKey.generate()) for n in range(count)}


def fleet(redis_url: str, nodes: dict[str, Signer], sick: str = "") -> LightFleet:
    def machine_of(name: str) -> SimulatedMachine:
        return SimulatedMachine(unhealthy={"2.0.0": "service"} if name == sick else {})

    return LightFleet(redis_url, CONTROLLER.key.public_key(), nodes, machine_of=machine_of, poll_seconds=0.05)


def send(redis_url: str, nodes: dict[str, Signer], order_id: str = "order") -> None:
    orders = [
        Order(
            id=f"{order_id}-{name}",
            kind=OrderKind.UPDATE,
            node_id=name,
            seq=1,
            issued_at=datetime.now(UTC),
            update=update(),
        )
        for name in nodes
    ]
    publish_orders(controller_app(redis_url), [(o.node_id, o.id, CONTROLLER.seal(o)) for o in orders])


def events(redis_url: str, nodes: dict[str, Signer]) -> list[Event]:
    with redis_client(redis_url) as client:
        raw = list(reversed(client.lrange(EVENTS_QUEUE, 0, -1)))
    envelopes = [decode_message(message)[0] for message in raw]
    return [open_event(e, nodes[claimed_sender(e)].key.public_key()) for e in envelopes]


def outcomes(redis_url: str, nodes: dict[str, Signer]) -> list[Event]:
    return [e for e in events(redis_url, nodes) if e.kind is EventKind.OUTCOME]


def settled(node: LightNode) -> bool:
    return any(record.settled for record in node.state.journal.records)


def test_two_hundred_light_nodes_update_in_one_thread(redis_url: str) -> None:
    nodes = signers(200)
    running = fleet(redis_url, nodes, sick="light-007")
    running.start()

    begin = time.monotonic()
    send(redis_url, nodes)
    wait_until(lambda: all(settled(node) for node in running.nodes.values()), "every update to settle")
    took = time.monotonic() - begin
    wait_until(lambda: len(outcomes(redis_url, nodes)) == len(nodes), "every outcome")
    running.stop()

    told = events(redis_url, nodes)
    ends = Counter(e.phase for e in told if e.kind is EventKind.OUTCOME)
    print(f"200 light nodes: {took:.1f} s for 200 updates, {len(told)} events")  # noqa: T201 - the figure is the result
    assert ends == {Phase.COMPLETED: 199, Phase.ROLLED_BACK: 1}
    for name in nodes:
        numbers = [e.seq for e in told if e.node_id == name]
        assert numbers == list(range(1, len(numbers) + 1))


def test_an_order_that_an_earlier_life_received_and_did_not_take_is_taken(redis_url: str) -> None:
    nodes = signers(1)
    send(redis_url, nodes)
    queue = orders_queue("light-000")
    with redis_client(redis_url) as client:
        client.lmove(queue, work_list(queue), "RIGHT", "LEFT")

    running = fleet(redis_url, nodes)
    running.start()
    wait_until(lambda: len(outcomes(redis_url, nodes)) == 1, "the outcome")
    running.stop()

    with redis_client(redis_url) as client:
        assert client.exists(queue, work_list(queue)) == 0


def test_garbage_in_a_queue_is_refused_and_does_not_stop_the_fleet(redis_url: str) -> None:
    nodes = signers(2)
    with redis_client(redis_url) as client:
        client.lpush(orders_queue("light-000"), b"not a Celery message")

    running = fleet(redis_url, nodes)
    running.start()
    send(redis_url, nodes)
    wait_until(lambda: len(outcomes(redis_url, nodes)) == 2, "both outcomes")
    running.stop()

    assert [e.error_kind for e in events(redis_url, nodes) if e.kind is EventKind.REFUSED] == ["bad_envelope"]


def test_a_redis_that_dies_and_comes_back_empty_only_delays(redis_server: RedisServer) -> None:
    nodes, url = signers(3), redis_server.url
    running = fleet(url, nodes)
    running.start()
    wait_until(lambda: len(events(url, nodes)) == len(nodes), "every hello")

    redis_server.kill()
    redis_server.start()
    send(url, nodes)
    wait_until(lambda: len(outcomes(url, nodes)) == len(nodes), "every outcome")
    running.stop()

    assert {e.phase for e in outcomes(url, nodes)} == {Phase.COMPLETED}
