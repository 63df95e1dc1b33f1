"""FleetService: rollouts."""

from __future__ import annotations

import grpc

from controller.api import translate
from controller.fleet import Fleet
from shared import wire
from shared.proto import fleet_pb2 as pb


class RolloutCalls:
    """The calls about rollouts."""

    _fleet: Fleet

    def CreateRollout(  # noqa: N802 - gRPC's name
        self, request: pb.CreateRolloutRequest, context: grpc.ServicerContext
    ) -> pb.CreateRolloutResponse:
        """Plan a rollout over the chosen nodes."""
        rollout = self._fleet.create_rollout(
            request.name,
            translate.selection(request.targets),
            wire.update_from_proto(request.update),
            translate.policy_from_proto(request.policy),
            idempotency_key=request.idempotency_key,
            actor=translate.actor(context),
        )
        return pb.CreateRolloutResponse(rollout=translate.rollout_to_proto(rollout, with_targets=False))

    def ListRollouts(self, request: pb.ListRolloutsRequest, context: grpc.ServicerContext) -> pb.ListRolloutsResponse:  # noqa: N802 - gRPC's name
        """Return the rollouts, newest first."""
        del context
        found = self._fleet.rollouts(limit=translate.checked_limit(request.limit))
        return pb.ListRolloutsResponse(rollouts=[translate.outline_to_proto(outline) for outline in found])

    def GetRollout(self, request: pb.GetRolloutRequest, context: grpc.ServicerContext) -> pb.GetRolloutResponse:  # noqa: N802 - gRPC's name
        """Return one rollout with its targets."""
        del context
        rollout = self._fleet.rollout(request.id)
        return pb.GetRolloutResponse(rollout=translate.rollout_to_proto(rollout, with_targets=True))

    def PauseRollout(self, request: pb.ChangeRolloutRequest, context: grpc.ServicerContext) -> pb.ChangeRolloutResponse:  # noqa: N802 - gRPC's name
        """Send no further orders until resumed."""
        rollout = self._fleet.pause(request.id, reason=request.reason, actor=translate.actor(context))
        return pb.ChangeRolloutResponse(rollout=translate.rollout_to_proto(rollout, with_targets=False))

    def ResumeRollout(  # noqa: N802 - gRPC's name
        self, request: pb.ChangeRolloutRequest, context: grpc.ServicerContext
    ) -> pb.ChangeRolloutResponse:
        """Go on after a pause or a halt."""
        rollout = self._fleet.resume(request.id, reason=request.reason, actor=translate.actor(context))
        return pb.ChangeRolloutResponse(rollout=translate.rollout_to_proto(rollout, with_targets=False))

    def AbortRollout(self, request: pb.ChangeRolloutRequest, context: grpc.ServicerContext) -> pb.ChangeRolloutResponse:  # noqa: N802 - gRPC's name
        """Stop for good."""
        rollout = self._fleet.abort(request.id, reason=request.reason, actor=translate.actor(context))
        return pb.ChangeRolloutResponse(rollout=translate.rollout_to_proto(rollout, with_targets=False))
