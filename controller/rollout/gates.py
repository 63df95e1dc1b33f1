"""What stands between a rollout and its next step: small gates with one verb and three answers.

Rules (architecture, life of a rollout, rules 1 and 2):
- The failure threshold looks at the whole rollout, over *finished* turns: those that ended in success or badly. Nodes
  that were there already and turns that were cancelled prove nothing and dilute nothing.
- Silence counts: UNKNOWN is a bad end. So does a node that had succeeded and now calls itself unhealthy.
- ``min_finished`` only delays the judgement inside a wave. A complete wave is judged as it stands.
- Failures that a person has acknowledged by resuming do not halt again by themselves; with the next one they count.
- The window of the update never closes a gate: preparing is allowed at any hour and the node keeps the window. The
  gate says when it opens, so that people know what the rollout waits for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from controller.rollout.model import FleetNode, Policy, Rollout, Target, Wave
from controller.rollout.policy import EVERYBODY
from shared.states import TargetState, Verdict

#: Nodes named in a reason; the rest is a number.
_NAMED = 3


class Answer(StrEnum):
    """What a gate can say."""

    OPEN = "open"  #: go on
    WAIT = "wait"  #: not yet; time or a node's report can change it
    HALT = "halt"  #: stop; only a person can change it


@dataclass(frozen=True)
class Reply:
    """An answer and why. An open gate may still have something to tell."""

    answer: Answer
    reason: str = ""


@dataclass(frozen=True)
class Scene:
    """What a gate looks at."""

    rollout: Rollout
    nodes: Mapping[str, FleetNode]
    now: datetime


class Gate(Protocol):
    """Anything that can say wait or halt."""

    def ask(self, scene: Scene) -> Reply:
        """Return the answer for this moment."""
        ...


def all_of(gates: Sequence[Gate], scene: Scene) -> Reply:
    """Ask every gate: one halt halts, else one wait waits; the reasons of the weightiest answer are joined."""
    replies = [gate.ask(scene) for gate in gates]
    for answer in (Answer.HALT, Answer.WAIT, Answer.OPEN):
        reasons = [reply for reply in replies if reply.answer is answer]
        if reasons:
            return Reply(answer, "; ".join(reply.reason for reply in reasons if reply.reason))
    return Reply(Answer.OPEN)


def failed(target: Target, nodes: Mapping[str, FleetNode]) -> bool:
    """Whether the turn counts against the threshold."""
    return target.state.bad or (target.state is TargetState.SUCCEEDED and _unwell(nodes.get(target.node_id)))


def _unwell(node: FleetNode | None) -> bool:
    return node is not None and node.health is not None and node.health.verdict is Verdict.UNHEALTHY


@dataclass(frozen=True)
class FailureGate:
    """Halts above the failure threshold; never waits."""

    complete: bool = False  #: the wave is complete: judge without waiting for ``min_finished``

    def ask(self, scene: Scene) -> Reply:
        """Halt if more have failed than the policy allows, and not all of that is acknowledged."""
        ends = [t for t in scene.rollout.targets if t.state.bad or t.state is TargetState.SUCCEEDED]
        bad = [target for target in ends if failed(target, scene.nodes)]
        limit = self._exceeded(scene.rollout.policy, len(bad), len(ends))
        if not limit or all(target.acknowledged for target in bad):
            return Reply(Answer.OPEN)
        return Reply(Answer.HALT, f"{len(bad)} of {len(ends)} finished nodes failed, {limit}: {_list(bad)}")

    def _exceeded(self, policy: Policy, bad: int, ends: int) -> str:
        if policy.max_failed is not None and bad > policy.max_failed:
            return f"more than the {policy.max_failed} allowed"
        by_share = policy.max_failed is None or policy.max_failed_percent > 0
        judged = self.complete or ends >= policy.min_finished
        if by_share and judged and bad * EVERYBODY > policy.max_failed_percent * ends:
            return f"more than the {policy.max_failed_percent:g} % allowed"
        return ""


@dataclass(frozen=True)
class ProofGate:
    """Halts where a wave proved nothing for the next one, because every turn in it was cancelled."""

    wave: Wave

    def ask(self, scene: Scene) -> Reply:
        """Halt if the wave is complete, and nothing but cancelled turns that nobody has acknowledged."""
        turns = scene.rollout.in_wave(self.wave.index)
        last = self.wave.index == len(scene.rollout.waves)
        if last or not all(t.state is TargetState.CANCELLED for t in turns) or all(t.acknowledged for t in turns):
            return Reply(Answer.OPEN)
        return Reply(Answer.HALT, f"every turn of wave {self.wave.index} was cancelled, so it proved nothing")


@dataclass(frozen=True)
class SoakGate:
    """Waits until the wave has been watched for its soak time."""

    wave: Wave

    def ask(self, scene: Scene) -> Reply:
        """Wait until ``soaking_since + soak``."""
        since = self.wave.soaking_since
        until = since + timedelta(seconds=self.wave.soak) if since else scene.now
        if scene.now >= until:
            return Reply(Answer.OPEN)
        return Reply(Answer.WAIT, f"wave {self.wave.index} soaks until {_clock(until)}")


@dataclass(frozen=True)
class StartGate:
    """Waits until the update's start time. An update sent straight to nodes is kept by the nodes themselves."""

    def ask(self, scene: Scene) -> Reply:
        """Wait until ``start_at``."""
        start = scene.rollout.update.start_at
        if scene.rollout.direct or start is None or scene.now >= start:
            return Reply(Answer.OPEN)
        return Reply(Answer.WAIT, f"starts at {_clock(start)}")


@dataclass(frozen=True)
class WindowGate:
    """Is always open; says when the nodes' window opens."""

    def ask(self, scene: Scene) -> Reply:
        """Return when nodes may switch, if they may not now."""
        window = scene.rollout.update.window
        if window is None or window.contains(scene.now):
            return Reply(Answer.OPEN)
        opening = _clock(window.next_opening(scene.now))
        return Reply(Answer.OPEN, f"nodes prepare; they switch when the window opens at {opening}")


def _list(bad: Sequence[Target]) -> str:
    new_first = sorted(bad, key=lambda target: target.acknowledged)
    names = [f"{t.node_id} {t.state}{f' ({t.error_kind})' if t.error_kind else ''}" for t in new_first[:_NAMED]]
    more = [f"{len(bad) - _NAMED} more"] if len(bad) > _NAMED else []
    return ", ".join(names + more)


def _clock(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S %Z")
