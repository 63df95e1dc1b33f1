"""The gRPC server: mTLS, who may call, errors, health checking, reflection."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from controller.api.service import FleetService
from controller.fleet import Fleet
from shared.errors import ConflictError
from shared.proto import fleet_pb2, fleet_pb2_grpc
from shared.tls import ANYBODY, SERVER_OPTIONS, Role, TlsFiles, require_role, server_credentials
from shared.wire import ErrorInterceptor

#: Calls answered at the same time; each is one short transaction.
_THREADS: Final = 16

_FLEET: Final = fleet_pb2.DESCRIPTOR.services_by_name["FleetService"].full_name
_HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

#: Nodes have no business here: they report through their queue.
_ALLOWED: Final = {
    _FLEET: {Role.USER, Role.CONTROLLER},
    _HEALTH: ANYBODY,
    reflection.SERVICE_NAME: {Role.USER, Role.CONTROLLER},
}


def build_server(fleet: Fleet) -> grpc.Server:
    """Return a server that answers for ``fleet``; it is neither bound to a port nor started."""
    server = grpc.server(
        ThreadPoolExecutor(_THREADS, thread_name_prefix="api"),
        # The guard stands inside of the error interceptor, so that its refusals carry cause and cure as well.
        interceptors=[ErrorInterceptor(), require_role(_ALLOWED)],
        options=SERVER_OPTIONS,
    )
    fleet_pb2_grpc.add_FleetServiceServicer_to_server(FleetService(fleet), server)
    checker = health.HealthServicer()
    checker.set("", health_pb2.HealthCheckResponse.SERVING)
    checker.set(_FLEET, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    reflection.enable_server_reflection((_FLEET, _HEALTH, reflection.SERVICE_NAME), server)
    return server


def bind(server: grpc.Server, tls_files: TlsFiles, listen: str) -> int:
    """Let ``server`` listen on ``listen`` (host:port; port 0: any free one) and return the port.

    Raises:
        TlsError: a certificate file cannot be used.
        ConflictError: the port is taken, or the host is none of this machine's.
    """
    try:
        port = server.add_secure_port(listen, server_credentials(tls_files))
    except RuntimeError as error:
        raise ConflictError(
            f"cannot listen on {listen}: {error}", cure="end what listens there, or choose another address"
        ) from error
    return int(port)


def serve_api(fleet: Fleet, tls_files: TlsFiles, listen: str) -> grpc.Server:
    """Return a server that answers for ``fleet`` on ``listen``, started; end it with ``stop``.

    Raises:
        TlsError: a certificate file cannot be used.
        ConflictError: the port is taken.
    """
    server = build_server(fleet)
    bind(server, tls_files, listen)
    server.start()
    return server
