"""A real gRPC server refuses every client without a valid certificate of its CA, and ``diagnose`` says which it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from shared.errors import TlsError, TransportError
from shared.pki import DevelopmentCa
from shared.tls import Role, TlsFiles, diagnose, open_channel
from shared.wire import error_from_rpc
from tests.support.certs import HEALTH_SERVICE, ask_health, bundle, days_ago, expired, grpc_server, old_ca

SERVING = 1


def client(case: str, ours: DevelopmentCa, tmp_path: Path) -> TlsFiles:
    """Return the files of a client that the server must refuse."""
    good = ours.issue(Role.USER, "alice")
    foreign = DevelopmentCa.create(tmp_path / "foreign").issue(Role.USER, "alice")
    return {
        "none": TlsFiles(ca=good.ca),
        "expired": expired(ours, Role.USER, "bob"),
        "foreign certificate": replace(foreign, ca=good.ca),
        "foreign certificate, both CAs trusted": replace(
            foreign, ca=bundle(tmp_path / "both.crt", ours, DevelopmentCa.load(tmp_path / "foreign"))
        ),
        "foreign in all": foreign,
    }[case]


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ("none", "the server demands a client certificate and none was shown"),
        ("expired", "it expired on"),
        ("foreign certificate", "it was not issued by the CA in"),
        ("foreign certificate, both CAs trusted", "the server does not know the CA of"),
        ("foreign in all", "the server's certificate was not issued by the CA in"),
    ],
)
def test_a_client_without_a_valid_certificate_is_refused_and_told_why(case: str, cause: str, tmp_path: Path) -> None:
    ours = old_ca(tmp_path / "ours")
    files = client(case, ours, tmp_path)

    with grpc_server(ours.issue(Role.NODE, "node-1")) as address:
        with pytest.raises(grpc.RpcError) as refused:
            ask_health(address, files)
        error = diagnose(address, files)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert isinstance(error, TlsError)
    assert cause in error.message
    assert error.cure


def test_a_certificate_that_only_the_server_finds_expired_is_named_with_the_clocks(tmp_path: Path) -> None:
    ours = old_ca(tmp_path / "ours")
    files = expired(ours, Role.USER, "bob")

    with grpc_server(ours.issue(Role.NODE, "node-1")) as address:
        error = diagnose(address, files, now=days_ago(10)())

    assert isinstance(error, TlsError)
    assert "the server refuses certificate" in error.message
    assert "clocks" in error.cure


def test_a_valid_client_is_served_and_nothing_is_wrong_with_its_network_or_tls(tmp_path: Path) -> None:
    ours = DevelopmentCa.create(tmp_path / "ours")
    alice = ours.issue(Role.USER, "alice")

    with grpc_server(ours.issue(Role.NODE, "node-1")) as address:
        by_address, by_name = ask_health(address, alice), ask_health(address, alice, "node-1")
        error = diagnose(address, alice)

    assert (by_address, by_name) == (SERVING, SERVING)
    assert isinstance(error, TransportError)
    assert "network and TLS are in order" in error.message


def test_a_server_of_another_name_is_refused_by_the_client_and_named(tmp_path: Path) -> None:
    ours = DevelopmentCa.create(tmp_path / "ours")
    alice = ours.issue(Role.USER, "alice")

    with grpc_server(ours.issue(Role.NODE, "node-1")) as address:
        with pytest.raises(grpc.RpcError):
            ask_health(address, alice, "node-2")
        error = diagnose(address, alice, "node-2")

    assert isinstance(error, TlsError)
    assert "certificate is for another name" in error.message
    assert "node-2" in error.message


def test_a_server_whose_certificate_has_expired_is_named(tmp_path: Path) -> None:
    ours = old_ca(tmp_path / "ours")
    alice = ours.issue(Role.USER, "alice")

    with grpc_server(expired(ours, Role.NODE, "node-1")) as address:
        error = diagnose(address, alice)

    assert isinstance(error, TlsError)
    assert "the server's certificate has expired" in error.message


def test_a_users_certificate_cannot_pose_as_a_server(tmp_path: Path) -> None:
    ours = DevelopmentCa.create(tmp_path / "ours")
    alice, mallory = ours.issue(Role.USER, "alice"), ours.issue(Role.USER, "mallory")

    with grpc_server(mallory) as address, pytest.raises(grpc.RpcError) as refused:
        ask_health(address, alice)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("role", "allowed", "refusal"),
    [
        (Role.USER, {HEALTH_SERVICE: {Role.USER}}, None),
        (Role.NODE, {HEALTH_SERVICE: {Role.USER, Role.CONTROLLER}}, "it is for controller or user"),
        (Role.NODE, {HEALTH_SERVICE: {Role.USER}, f"{HEALTH_SERVICE}/Check": {Role.NODE}}, None),
        (Role.USER, {HEALTH_SERVICE: {Role.USER}, f"{HEALTH_SERVICE}/Check": {Role.NODE}}, "it is for node"),
        (Role.CONTROLLER, {}, "it is for nobody"),
    ],
    ids=["listed", "another role", "method wins, allowed", "method wins, refused", "service not listed"],
)
def test_only_listed_roles_may_call(
    role: Role, allowed: dict[str, set[Role]], refusal: str | None, tmp_path: Path
) -> None:
    ours = DevelopmentCa.create(tmp_path / "ours")
    files = ours.issue(role, "caller")

    with grpc_server(ours.issue(Role.NODE, "node-1"), allowed) as address:
        try:
            outcome: object = ask_health(address, files)
        except grpc.RpcError as error:
            outcome = (error.code(), error_from_rpc(error).message)

    sentence = f"cannot call {HEALTH_SERVICE}/Check as {role} caller: {refusal}"
    assert outcome == ((grpc.StatusCode.PERMISSION_DENIED, sentence) if refusal else SERVING)


def test_a_guarded_stream_is_refused_too(tmp_path: Path) -> None:
    ours = DevelopmentCa.create(tmp_path / "ours")
    node, alice = ours.issue(Role.NODE, "node-1"), ours.issue(Role.USER, "alice")

    with grpc_server(node, {HEALTH_SERVICE: {Role.NODE}}) as address, open_channel(address, alice) as channel:
        answers = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=10)  # type: ignore[attr-defined]  # the stub package names no calls
        with pytest.raises(grpc.RpcError) as refused:
            next(answers)

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_guarded_watchers_leave_the_only_thread_free(tmp_path: Path) -> None:
    ours = DevelopmentCa.create(tmp_path / "ours")
    node, alice = ours.issue(Role.NODE, "node-1"), ours.issue(Role.USER, "alice")

    with (
        grpc_server(node, {HEALTH_SERVICE: {Role.USER}}, threads=1) as address,
        open_channel(address, alice) as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)  # type: ignore[attr-defined]  # likewise
        watched = next(watch).status
        asked = ask_health(address, alice)
        watch.cancel()

    assert (watched, asked) == (SERVING, SERVING)
