"""Network troubles are told from TLS troubles, against real sockets."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.errors import InputError, TlsError, TransportError
from shared.pki import DevelopmentCa
from shared.tls import Role, TlsFiles, diagnose
from shared.tls.diagnosis import split_address


@contextmanager
def listener(serve: Callable[[socket.socket], None] | None = None) -> Iterator[str]:
    """Listen on loopback; ``serve`` gets one connection in a thread, without it nobody accepts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: serve(server.accept()[0]) if serve else None)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(timeout=10)


@pytest.fixture
def ca(tmp_path: Path) -> DevelopmentCa:
    return DevelopmentCa.create(tmp_path / "ca")


def test_a_port_where_nobody_listens_is_a_network_trouble(ca: DevelopmentCa) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

    error = diagnose(address, ca.issue(Role.USER, "alice"))

    assert (type(error), error.kind) == (TransportError, "unreachable")
    assert error.message == f"cannot reach {address}: nothing listens there"


def test_a_name_that_does_not_resolve_is_a_network_trouble(ca: DevelopmentCa) -> None:
    error = diagnose("nowhere.invalid:50051", ca.issue(Role.USER, "alice"))

    assert type(error) is TransportError
    assert "the name nowhere.invalid cannot be resolved" in error.message


def test_a_server_that_accepts_and_stays_silent_is_a_network_trouble(ca: DevelopmentCa) -> None:
    with listener() as address:
        error = diagnose(address, ca.issue(Role.USER, "alice"), timeout=0.2)

    assert type(error) is TransportError
    assert "it accepts connections, but does not answer" in error.message


def test_a_server_without_tls_is_named(ca: DevelopmentCa) -> None:
    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(1)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listener(serve) as address:
        error = diagnose(address, ca.issue(Role.USER, "alice"))

    assert isinstance(error, TlsError)
    assert "does not speak TLS on this port" in error.message


def test_a_server_that_hangs_up_in_the_handshake_is_named(ca: DevelopmentCa) -> None:
    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)

    with listener(serve) as address:
        error = diagnose(address, ca.issue(Role.USER, "alice"))

    assert isinstance(error, TlsError)
    assert "hung up in the middle of the handshake" in error.message


@pytest.mark.parametrize(
    ("case", "cause"),
    [("none", "demands a client certificate and none was shown"), ("foreign", "does not know the CA of the client")],
)
def test_the_alert_that_a_server_sends_after_a_tls13_handshake_is_read(
    case: str, cause: str, ca: DevelopmentCa, tmp_path: Path
) -> None:
    node, good = ca.issue(Role.NODE, "node-1"), ca.issue(Role.USER, "alice")
    foreign = DevelopmentCa.create(tmp_path / "foreign").issue(Role.USER, "alice")
    both = tmp_path / "both.crt"
    both.write_bytes(good.ca.read_bytes() + foreign.ca.read_bytes())
    files = TlsFiles(good.ca) if case == "none" else TlsFiles(both, foreign.cert, foreign.key)

    def serve(connection: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(node.ca)
        context.load_cert_chain(str(node.cert), node.key)
        with pytest.raises(ssl.SSLError), context.wrap_socket(connection, server_side=True):
            pass

    with listener(serve) as address:
        error = diagnose(address, files)

    assert isinstance(error, TlsError)
    assert cause in error.message


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("node-1:50051", ("node-1", 50051)),
        ("[::1]:50051", ("::1", 50051)),
        ("dns:///node-1:50051", ("node-1", 50051)),
    ],
    ids=["name", "IPv6", "gRPC scheme"],
)
def test_addresses_split_into_host_and_port(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", "node-1", ":50051", "node-1:", "node-1:x", "node-1:70000", "::1:50051"])
def test_what_is_no_address_is_refused_in_words(address: str, ca: DevelopmentCa) -> None:
    with pytest.raises(InputError, match=r"it must be host:port or \[address\]:port"):
        split_address(address)

    assert isinstance(diagnose(address, ca.issue(Role.USER, "alice")), InputError)
