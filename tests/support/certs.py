"""Certificates for tests: real ones, issued by the development CA, also in the past and by a foreign CA."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from shared.pki import DevelopmentCa
from shared.tls import SERVER_OPTIONS, Role, TlsFiles, open_channel, require_role, server_credentials

HEALTH_SERVICE = "grpc.health.v1.Health"


def days_ago(days: float) -> Callable[[], datetime]:
    """Return a clock that is ``days`` behind (negative: ahead of) the real one."""
    return lambda: datetime.now(UTC) - timedelta(days=days)


def old_ca(folder: Path, *, age_days: float = 30.0) -> DevelopmentCa:
    """Return a CA made ``age_days`` ago that is still valid, so that certificates of it can have expired."""
    DevelopmentCa.create(folder, clock=days_ago(age_days))
    return DevelopmentCa.load(folder)


def expired(ca: DevelopmentCa, role: Role, name: str) -> TlsFiles:
    """Return a certificate of an ``old_ca`` that ended nine days ago."""
    return DevelopmentCa.load(ca.folder, clock=days_ago(10)).issue(role, name, lifetime=timedelta(days=1))


def bundle(path: Path, *authorities: DevelopmentCa) -> Path:
    """Write the certificates of several CAs into one file."""
    path.write_bytes(b"".join((ca.folder / "ca.crt").read_bytes() for ca in authorities))
    return path


@contextmanager
def grpc_server(
    files: TlsFiles, allowed: Mapping[str, Collection[Role]] | None = None, *, threads: int = 4
) -> Iterator[str]:
    """Run a real mTLS gRPC server with the standard health service; yield its address."""
    with ThreadPoolExecutor(threads) as pool:
        guard = [require_role(allowed)] if allowed is not None else []
        server = grpc.server(pool, interceptors=guard, options=SERVER_OPTIONS)
        service = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(service, server)
        port = server.add_secure_port("127.0.0.1:0", server_credentials(files))
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(grace=None).wait()


def ask_health(address: str, files: TlsFiles, server_name: str | None = None) -> int:
    """Call the health service once and return its serving status; raises ``grpc.RpcError`` if refused."""
    with open_channel(address, files, server_name) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)  # type: ignore[attr-defined]  # the stub package names no calls
        return int(answer.status)
