"""One connection to a controller or node. A failed call says what was wrong, down to network or TLS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import grpc

from controller.cli import config
from controller.cli.common import Common
from controller.cli.endpoint import Endpoint, resolve
from shared import tls, wire
from shared.errors import FleetError, TransportError
from shared.proto import fleet_pb2_grpc, node_pb2_grpc

Q = TypeVar("Q")
A = TypeVar("A")

#: Seconds that one call may take.
CALL_TIMEOUT = 30.0


class Session:
    """An open connection, with the stubs of both services; ``is_node`` says which one answers."""

    def __init__(self, endpoint: Endpoint) -> None:
        files = endpoint.files
        self._endpoint = endpoint
        self._files = tls.TlsFiles(ca=files.ca, cert=files.cert, key=files.key)
        self._channel = tls.open_channel(endpoint.address, self._files, endpoint.server_name)
        self.node = node_pb2_grpc.NodeServiceStub(self._channel)
        self.fleet = fleet_pb2_grpc.FleetServiceStub(self._channel)

    @property
    def is_node(self) -> bool:
        """Whether one node answers, and not a controller."""
        return self._endpoint.kind == "node"

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def call(self, method: grpc.UnaryUnaryMultiCallable[Q, A], request: Q) -> A:
        """Make a call, and find out why if it does not get through.

        Raises:
            FleetError: what the other side raised; or TransportError or TlsError, after asking step by step.
        """
        try:
            return method(request, timeout=CALL_TIMEOUT)
        except grpc.RpcError as error:
            failure = wire.error_from_rpc(error)
            if isinstance(failure, TransportError) and not wire.has_detail(error):
                raise self._diagnosed(failure) from error
            raise failure from error

    def try_call(self, method: grpc.UnaryUnaryMultiCallable[Q, A], request: Q, timeout: float) -> A:
        """Make a call that is repeated anyway when it fails: no diagnosis.

        Raises:
            FleetError: what the other side raised, or a bare TransportError.
        """
        try:
            return method(request, timeout=timeout)
        except grpc.RpcError as error:
            raise wire.error_from_rpc(error) from error

    def _diagnosed(self, failure: FleetError) -> FleetError:
        found = tls.diagnose(self._endpoint.address, self._files, self._endpoint.server_name)
        # "All in order" after a deadline means: it is slow. The deadline is then the better story.
        return failure if failure.cure else found


@contextmanager
def session(common: Common, *, fleet: bool = False) -> Iterator[Session]:
    """Open a connection to whom flags, environment and context name.

    Args:
        common: what the command line says.
        fleet: whether the command makes sense only for a controller.

    Raises:
        FleetError: nobody is named, or the TLS files cannot be used.
    """
    settings = config.load(config.path_in(os.environ))
    opened = Session(resolve(common, settings, os.environ, fleet=fleet))
    try:
        yield opened
    finally:
        opened.close()
