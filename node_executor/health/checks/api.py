"""Check ``api``: the node's own gRPC service answers, asked like any client with the node's own certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import grpc
from grpc_health.v1 import health_pb2
from pydantic import BaseModel, ConfigDict, Field

from node_executor.health.check import CheckContext, CheckOutcome
from shared.tls import TlsFiles, diagnose, open_channel

#: Listening on "every address" is asked on loopback.
_WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - recognised, not bound


class ApiOptions(BaseModel):
    """Options of the check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout: float = Field(default=3.0, gt=0, le=3600)  #: seconds for the connection and the answer


class ApiCheck:
    """Healthy if the service says that it serves; without TLS files, if its port accepts a connection."""

    critical = True

    def __init__(self, options: Mapping[str, object]) -> None:
        """Take ``ApiOptions``."""
        self._timeout = ApiOptions.model_validate(options).timeout

    async def check(self, context: CheckContext) -> CheckOutcome:
        """Call the standard health service (grpc.health.v1), or connect."""
        address = dialled(context.api_address)
        if context.tls is not None:
            return await asyncio.to_thread(_call, address, context.tls, self._timeout)
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(self._timeout):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except TimeoutError:
            return CheckOutcome.unhealthy(f"{address} does not answer within {self._timeout:g} s")
        except OSError as error:
            return CheckOutcome.unhealthy(f"{address} does not answer: {error.strerror or error}")
        writer.close()
        await writer.wait_closed()
        return CheckOutcome.healthy(f"{address} accepts connections")


def dialled(listen: str) -> str:
    """Return the address under which a service that listens on ``listen`` is called from its own machine."""
    host, colon, port = listen.rpartition(":")
    return f"{_WILDCARDS.get(host, host)}{colon}{port}"


def _call(address: str, files: TlsFiles, timeout: float) -> CheckOutcome:
    with open_channel(address, files) as channel:
        ask = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = ask(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return CheckOutcome.unhealthy(diagnose(address, files, timeout=timeout).message)
            return CheckOutcome.unhealthy(f"{address} answers {error.code().name}: {error.details()}")
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return CheckOutcome.unhealthy(f"{address} says {status}")
    return CheckOutcome.healthy(f"{address} serves")
