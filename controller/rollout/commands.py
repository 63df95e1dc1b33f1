"""What a person can do to a rollout: pure. Doing it twice is allowed; what the state forbids is refused.

A resume after a halt acknowledges what has failed so far. It never skips a wave: the halted wave is open again, its
waiting nodes get new orders, it soaks anew and asks its gate. With the next failure the whole rollout is judged by
the unchanged threshold, the acknowledged failures included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from controller.rollout.changes import halted
from controller.rollout.gates import failed
from controller.rollout.model import FleetNode, Rollout, Target, Wave
from shared.errors import IllegalTransitionError
from shared.states import RolloutState, TargetState, WaveState


def pause(rollout: Rollout, reason: str) -> Rollout:
    """Return the rollout paused.

    Raises:
        IllegalTransitionError: it is halted or over.
    """
    if rollout.state is RolloutState.PAUSED:
        return rollout
    if rollout.state not in (RolloutState.SCHEDULED, RolloutState.RUNNING):
        raise _refuse("pause", rollout, "a halted rollout sends no orders; resume or abort it")
    return replace(rollout, state=RolloutState.PAUSED, reason=reason)


def resume(rollout: Rollout, nodes: Mapping[str, FleetNode], reason: str) -> Rollout:
    """Return the rollout going on: scheduled if it had not begun, else running.

    Raises:
        IllegalTransitionError: it is over.
    """
    if rollout.state in (RolloutState.SCHEDULED, RolloutState.RUNNING):
        return rollout
    if rollout.state is RolloutState.HALTED:
        rollout = replace(
            rollout,
            waves=tuple(_reopened(wave) for wave in rollout.waves),
            targets=tuple(_acknowledged(target, nodes) for target in rollout.targets),
        )
    elif rollout.state is not RolloutState.PAUSED:
        raise _refuse("resume", rollout, "create another rollout")
    began = rollout.started_at is not None
    return replace(rollout, state=RolloutState.RUNNING if began else RolloutState.SCHEDULED, reason=reason)


def abort(rollout: Rollout, reason: str, now: datetime) -> Rollout:
    """Return the rollout stopped for good.

    Raises:
        IllegalTransitionError: it has ended otherwise.
    """
    if rollout.state is RolloutState.ABORTED:
        return rollout
    if rollout.state.final:
        raise _refuse("abort", rollout, "what has ended cannot be stopped; roll back with osctl rollback trigger")
    waves = tuple(halted(wave, reason) for wave in rollout.waves)
    return replace(rollout, state=RolloutState.ABORTED, reason=reason, finished_at=now, waves=waves)


def _reopened(wave: Wave) -> Wave:
    if wave.state is not WaveState.HALTED:
        return wave
    return replace(wave, state=WaveState.OPEN, soaking_since=None, reason="")


def _acknowledged(target: Target, nodes: Mapping[str, FleetNode]) -> Target:
    over = failed(target, nodes) or target.state is TargetState.CANCELLED
    return replace(target, acknowledged=True) if over else target


def _refuse(verb: str, rollout: Rollout, cure: str) -> IllegalTransitionError:
    return IllegalTransitionError(f"cannot {verb} rollout {rollout.id}: it is {rollout.state}", cure=cure)
