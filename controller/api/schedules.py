"""FleetService: updates sent straight to nodes."""

from __future__ import annotations

import grpc

from controller.api import translate
from controller.fleet import Fleet
from shared import wire
from shared.proto import fleet_pb2 as pb


class ScheduleCalls:
    """The calls about schedules."""

    _fleet: Fleet

    def ScheduleUpdate(  # noqa: N802 - gRPC's name
        self, request: pb.FleetScheduleUpdateRequest, context: grpc.ServicerContext
    ) -> pb.FleetScheduleUpdateResponse:
        """Send an update to the chosen nodes at once."""
        rollout = self._fleet.schedule_update(
            translate.selection(request.targets),
            wire.update_from_proto(request.update),
            idempotency_key=request.idempotency_key,
            actor=translate.actor(context),
        )
        schedules = [wire.schedule_to_proto(schedule) for schedule in self._fleet.schedules_of(rollout)]
        return pb.FleetScheduleUpdateResponse(rollout_id=rollout.id, schedules=schedules)

    def GetScheduleStatus(  # noqa: N802 - gRPC's name
        self, request: pb.FleetGetScheduleStatusRequest, context: grpc.ServicerContext
    ) -> pb.FleetGetScheduleStatusResponse:
        """Return one schedule."""
        del context
        schedule = self._fleet.schedule(request.schedule_id)
        return pb.FleetGetScheduleStatusResponse(schedule=wire.schedule_to_proto(schedule))

    def CancelSchedule(  # noqa: N802 - gRPC's name
        self, request: pb.FleetCancelScheduleRequest, context: grpc.ServicerContext
    ) -> pb.FleetCancelScheduleResponse:
        """Withdraw one node's update, if the node has not switched."""
        answer, schedule = self._fleet.cancel_schedule(
            request.schedule_id, reason=request.reason, actor=translate.actor(context)
        )
        return pb.FleetCancelScheduleResponse(answer=answer, schedule=wire.schedule_to_proto(schedule))

    def ListSchedules(  # noqa: N802 - gRPC's name
        self, request: pb.FleetListSchedulesRequest, context: grpc.ServicerContext
    ) -> pb.FleetListSchedulesResponse:
        """Return the chosen nodes' schedules, newest first; of all nodes if the request does not say."""
        del context
        chosen = translate.selection_or_all(request.targets, said=request.HasField("targets"))
        found = self._fleet.schedules(chosen, limit=translate.checked_limit(request.limit))
        return pb.FleetListSchedulesResponse(schedules=[wire.schedule_to_proto(schedule) for schedule in found])
