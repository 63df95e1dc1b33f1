"""FleetService, put together from its concerns."""

from __future__ import annotations

from importlib import metadata

import grpc

from controller.api.nodes import NodeCalls
from controller.api.rollbacks import RollbackCalls
from controller.api.rollouts import RolloutCalls
from controller.api.schedules import ScheduleCalls
from controller.fleet import Fleet
from shared.proto import fleet_pb2 as pb
from shared.proto.fleet_pb2_grpc import FleetServiceServicer


class FleetService(NodeCalls, ScheduleCalls, RollbackCalls, RolloutCalls, FleetServiceServicer):
    """Answers every call of ``fleet.proto`` from one ``Fleet``."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def GetVersion(self, request: pb.GetVersionRequest, context: grpc.ServicerContext) -> pb.GetVersionResponse:  # noqa: N802 - gRPC's name
        """Return what runs here."""
        del request, context
        return pb.GetVersionResponse(version=metadata.version("maticos-fleet"), database=self._fleet.database())
