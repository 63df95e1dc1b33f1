"""The fleet's nouns <-> messages. What both sides share is translated by ``shared.wire``."""

from __future__ import annotations

import grpc

from controller.rollout.model import FleetNode, Outline, Policy, Rollout, Target, Wave, WavePlan
from controller.rollout.selection import ALL, Selection
from shared import wire
from shared.errors import InputError
from shared.proto import fleet_pb2 as pb
from shared.tls import peer_identity


def actor(context: grpc.ServicerContext) -> str:
    """Return who calls, as the audit trail names them: ``user/alice``."""
    identity = peer_identity(context)
    return f"{identity.role}/{identity.name}"


def selection(targets: pb.Targets) -> Selection:
    """Return the nodes that are meant.

    Raises:
        InputError: none or several of the three ways are used.
    """
    return Selection(nodes=tuple(targets.nodes), selector=targets.selector, all=targets.all)


def selection_or_all(targets: pb.Targets, *, said: bool) -> Selection:
    """Return the nodes that are meant; all if the request does not say."""
    return selection(targets) if said else ALL


def checked_limit(limit: int) -> int:
    """Return ``limit``.

    Raises:
        InputError: it is negative.
    """
    if limit < 0:
        raise InputError(f"cannot accept limit {limit}: it is 0, for all, or more", cure="correct limit")
    return limit


# --- policies -----------------------------------------------------------------------------------------------


def _wave_plan_from(message: pb.WavePlan) -> WavePlan:
    size = message.WhichOneof("size")
    return WavePlan(
        count=message.count if size == "count" else None,
        percent=message.percent if size == "percent" else None,
        soak=message.soak_seconds,
    )


def policy_from_proto(message: pb.Policy) -> Policy:
    """Return the policy of a message; what is not said takes the policy's defaults.

    Raises:
        InputError: naming the field and its value.
    """
    said = {
        "min_finished": message.min_finished,
        "accept_deadline": message.accept_deadline_seconds,
        "finish_deadline": message.finish_deadline_seconds,
    }
    return Policy(
        waves=tuple(_wave_plan_from(wave) for wave in message.waves),
        max_failed_percent=message.max_failed_percent,
        max_failed=message.max_failed if message.HasField("max_failed") else None,
        max_in_flight=message.max_in_flight,
        **{name: value for name, value in said.items() if value},  # type: ignore[arg-type]  # int for one, float for two
    )


def _wave_plan_to(wave: WavePlan) -> pb.WavePlan:
    message = pb.WavePlan(soak_seconds=wave.soak)
    if wave.count is not None:
        message.count = wave.count
    elif wave.percent is not None:
        message.percent = wave.percent
    return message


def policy_to_proto(policy: Policy) -> pb.Policy:
    """Return the message of a policy."""
    return pb.Policy(
        waves=[_wave_plan_to(wave) for wave in policy.waves],
        max_failed_percent=policy.max_failed_percent,
        min_finished=policy.min_finished,
        max_failed=policy.max_failed,
        max_in_flight=policy.max_in_flight,
        accept_deadline_seconds=policy.accept_deadline,
        finish_deadline_seconds=policy.finish_deadline,
    )


# --- nodes and rollouts -------------------------------------------------------------------------------------


def node_to_proto(node: FleetNode) -> pb.Node:
    """Return the message of a node."""
    return pb.Node(
        id=node.id,
        labels=node.labels,
        address=node.address,
        facts=wire.facts_to_proto(node.facts) if node.facts else None,
        last_seen=wire.instant_to_proto(node.last_seen),
        health=wire.health_to_proto(node.health) if node.health else None,
        current_rollout=node.current_rollout,
        current_phase=node.current_phase or "",
    )


def rollout_to_proto(rollout: Rollout, *, with_targets: bool) -> pb.Rollout:
    """Return the message of a rollout; its targets can be many, so only where they are asked for."""
    return pb.Rollout(
        id=rollout.id,
        name=rollout.name,
        state=rollout.state,
        reason=rollout.reason,
        update=wire.update_to_proto(rollout.update),
        policy=policy_to_proto(rollout.policy),
        waves=[_wave_to_proto(wave) for wave in rollout.waves],
        targets=[_target_to_proto(target) for target in rollout.targets] if with_targets else (),
        counts={str(state): count for state, count in rollout.counts().items()},
        created_at=wire.instant_to_proto(rollout.created_at),
        started_at=wire.instant_to_proto(rollout.started_at),
        finished_at=wire.instant_to_proto(rollout.finished_at),
        created_by=rollout.created_by,
        version=rollout.version,
    )


def outline_to_proto(outline: Outline) -> pb.Rollout:
    """Return the message of a rollout in outline."""
    message = rollout_to_proto(outline.rollout, with_targets=False)
    message.counts.update({str(state): count for state, count in outline.counts.items()})
    return message


def _wave_to_proto(wave: Wave) -> pb.Wave:
    return pb.Wave(
        index=wave.index,
        state=wave.state,
        size=wave.size,
        opened_at=wire.instant_to_proto(wave.opened_at),
        soaking_since=wire.instant_to_proto(wave.soaking_since),
        finished_at=wire.instant_to_proto(wave.finished_at),
        reason=wave.reason,
        soak_seconds=wave.soak,
    )


def _target_to_proto(target: Target) -> pb.Target:
    return pb.Target(
        node_id=target.node_id,
        wave=target.wave,
        state=target.state,
        phase=target.phase or "",
        schedule_id=target.schedule_id,
        order_id=target.order_id,
        error_kind=target.error_kind,
        reason=target.reason,
        ordered_at=wire.instant_to_proto(target.ordered_at),
        finished_at=wire.instant_to_proto(target.finished_at),
        from_version=target.from_version,
        to_version=target.to_version,
    )
