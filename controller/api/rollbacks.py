"""FleetService: rollbacks and their history."""

from __future__ import annotations

import grpc

from controller.api import translate
from controller.fleet import Fleet
from shared import wire
from shared.proto import fleet_pb2 as pb


class RollbackCalls:
    """The calls about rollbacks."""

    _fleet: Fleet

    def TriggerRollback(  # noqa: N802 - gRPC's name
        self, request: pb.FleetTriggerRollbackRequest, context: grpc.ServicerContext
    ) -> pb.FleetTriggerRollbackResponse:
        """Order the chosen nodes back to their other slot."""
        ordered = self._fleet.trigger_rollback(
            translate.selection(request.targets), reason=request.reason, actor=translate.actor(context)
        )
        nodes = [node_id for node_id, _ in ordered]
        who = f"node {nodes[0]}. System" if len(nodes) == 1 else f"{len(nodes)} nodes. Systems"
        return pb.FleetTriggerRollbackResponse(
            message=f"Rollback ordered for {who} will reboot to previous partition.",
            nodes=nodes,
            order_ids=[order_id for _, order_id in ordered],
        )

    def GetRollbackHistory(  # noqa: N802 - gRPC's name
        self, request: pb.FleetGetRollbackHistoryRequest, context: grpc.ServicerContext
    ) -> pb.FleetGetRollbackHistoryResponse:
        """Return the chosen nodes' rollbacks, oldest first; of all nodes if the request does not say."""
        del context
        chosen = translate.selection_or_all(request.targets, said=request.HasField("targets"))
        found = self._fleet.rollback_history(chosen, limit=translate.checked_limit(request.limit))
        records = [wire.rollback_to_proto(record, node_id) for node_id, record in found]
        return pb.FleetGetRollbackHistoryResponse(records=records)
