"""``rediss://`` means TLS with a verified server, for kombu and redis-py alike; never plain text, never unverified."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from deploy.local.embedded_redis import RedisServer
from shared.celery_app import controller_app, publish_orders, push_events, redis_client
from shared.errors import TransportError
from shared.queues import EVENTS_QUEUE, orders_queue
from tests.support.redis_proxy import Proxy


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.crt")
    client = made.issue_cert("node@example")
    client.private_key_pem.write_to_path(tmp_path / "tls.key")
    client.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    return made


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(tcp=True) as running:
        yield running


@pytest.fixture
def tls_port(authority: trustme.CA, server: RedisServer) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("localhost").configure_cert(context)
    with Proxy(server.port, context) as proxy:
        yield proxy.port


def _use(url: str) -> None:
    publish_orders(controller_app(url), [("n1", "id-1", {})])
    with redis_client(url) as client:
        push_events(client, [("e1", {})])


def test_orders_and_events_travel_over_mutual_tls(server: RedisServer, tls_port: int, tmp_path: Path) -> None:
    files = f"ssl_ca_certs={tmp_path}/ca.crt&ssl_certfile={tmp_path}/tls.crt&ssl_keyfile={tmp_path}/tls.key"

    _use(f"rediss://localhost:{tls_port}/0?{files}")

    with server.client() as client:
        assert [client.llen(name) for name in (orders_queue("n1"), EVENTS_QUEUE)] == [1, 1]


def test_server_of_an_unknown_authority_is_refused(tls_port: int, tmp_path: Path) -> None:
    mine = f"ssl_certfile={tmp_path}/tls.crt&ssl_keyfile={tmp_path}/tls.key"

    with pytest.raises(TransportError, match="certificate verify failed"):
        _use(f"rediss://localhost:{tls_port}/0?{mine}")


def test_server_with_another_name_is_refused(tls_port: int, tmp_path: Path) -> None:
    files = f"ssl_ca_certs={tmp_path}/ca.crt&ssl_certfile={tmp_path}/tls.crt&ssl_keyfile={tmp_path}/tls.key"

    with pytest.raises(TransportError, match="certificate verify failed"):
        _use(f"rediss://127.0.0.1:{tls_port}/0?{files}")


def test_first_byte_to_any_server_is_that_of_a_tls_handshake() -> None:
    firsts: list[bytes] = []

    def hang_up_after_one_byte(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                with listener.accept()[0] as peer:
                    firsts.append(peer.recv(1))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up_after_one_byte, args=(listener,), daemon=True).start()
        url = f"rediss://127.0.0.1:{listener.getsockname()[1]}/0"
        with pytest.raises(TransportError):
            publish_orders(controller_app(url), [("n1", "id-1", {})])
        with redis_client(url) as client, pytest.raises(TransportError):
            push_events(client, [("e1", {})])
        listener.shutdown(socket.SHUT_RDWR)

    assert set(firsts) == {b"\x16"}
