"""FleetService: nodes and their health."""

from __future__ import annotations

import grpc

from controller.api import translate
from controller.fleet import Fleet
from shared.proto import fleet_pb2 as pb


class NodeCalls:
    """The calls about nodes."""

    _fleet: Fleet

    def RegisterNode(self, request: pb.RegisterNodeRequest, context: grpc.ServicerContext) -> pb.RegisterNodeResponse:  # noqa: N802 - gRPC's name
        """Add a node, or change the labels, address and key of a known one."""
        node = self._fleet.register_node(
            request.id,
            labels=dict(request.labels),
            address=request.address,
            event_key=request.event_key,
            actor=translate.actor(context),
        )
        return pb.RegisterNodeResponse(node=translate.node_to_proto(node))

    def ListNodes(self, request: pb.ListNodesRequest, context: grpc.ServicerContext) -> pb.ListNodesResponse:  # noqa: N802 - gRPC's name
        """Return the chosen nodes; all if the request does not say."""
        del context
        chosen = translate.selection_or_all(request.targets, said=request.HasField("targets"))
        return pb.ListNodesResponse(nodes=[translate.node_to_proto(node) for node in self._fleet.nodes(chosen)])

    def GetNode(self, request: pb.GetNodeRequest, context: grpc.ServicerContext) -> pb.GetNodeResponse:  # noqa: N802 - gRPC's name
        """Return one node."""
        del context
        return pb.GetNodeResponse(node=translate.node_to_proto(self._fleet.node(request.id)))

    def GetHealth(self, request: pb.FleetGetHealthRequest, context: grpc.ServicerContext) -> pb.FleetGetHealthResponse:  # noqa: N802 - gRPC's name
        """Return the chosen nodes with the health they reported last; all if the request does not say."""
        del context
        chosen = translate.selection_or_all(request.targets, said=request.HasField("targets"))
        return pb.FleetGetHealthResponse(nodes=[translate.node_to_proto(node) for node in self._fleet.nodes(chosen)])
