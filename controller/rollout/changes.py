"""Carry out decisions on a rollout: pure. What comes out is the rollout as it should be stored, and the new orders.

``settle`` repeats decide and carry out until nothing is left to do, or as many orders are decided as one transaction
should write. It ends: every decision moves a target, a wave or
the rollout forward, or changes a reason once; ``MAX_STEPS`` turns a mistake in that argument into an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from controller.rollout import deadlines
from controller.rollout.decide import ORDERS_AT_ONCE, decide
from controller.rollout.decisions import (
    Abort,
    AlreadyThere,
    CancelTurn,
    Decision,
    Explain,
    FinishWave,
    GiveBack,
    Grant,
    Halt,
    MarkUnknown,
    OpenWave,
    OrderNode,
    Start,
    StartSoak,
    Succeed,
    Withdraw,
)
from controller.rollout.model import FleetNode, OrderDraft, Rollout, Target, Wave
from controller.rollout.progress import stop
from shared.errors import FleetError
from shared.states import OrderKind, RolloutState, TargetState, WaveState

#: Steps that one settling may take besides five per wave.
MAX_STEPS = 20


@dataclass(frozen=True)
class Settled:
    """A rollout with nothing left to do at this moment (or with orders enough for now), and what that took."""

    rollout: Rollout
    orders: tuple[OrderDraft, ...]
    decisions: tuple[Decision, ...]


def settle(rollout: Rollout, nodes: Mapping[str, FleetNode], now: datetime, new_id: Callable[[], str]) -> Settled:
    """Decide and carry out until nothing is left, or enough is decided for one go.

    Raises:
        FleetError: it does not come to rest, which is a mistake in ``decide``.
    """
    orders: list[OrderDraft] = []
    taken: list[Decision] = []
    for _ in range(MAX_STEPS + 5 * len(rollout.waves)):
        decisions = decide(rollout, nodes, now)
        if not decisions:
            return Settled(rollout, tuple(orders), tuple(taken))
        rollout, drafts = carry_out(rollout, decisions, nodes, now, new_id)
        orders += drafts
        taken += decisions
        if len(orders) >= ORDERS_AT_ONCE:
            return Settled(rollout, tuple(orders), tuple(taken))
    raise FleetError(f"cannot settle rollout {rollout.id}: still deciding {taken[-1]}")


def carry_out(
    rollout: Rollout,
    decisions: Sequence[Decision],
    nodes: Mapping[str, FleetNode],
    now: datetime,
    new_id: Callable[[], str],
) -> tuple[Rollout, tuple[OrderDraft, ...]]:
    """Return the rollout after one step, and the orders that the step sends."""
    work = _Work(rollout, nodes, now, new_id)
    for decision in decisions:
        work.do(decision)
    return work.result(), tuple(work.orders)


class _Work:
    """A rollout taken apart, so that a step over thousands of targets stays linear."""

    def __init__(
        self, rollout: Rollout, nodes: Mapping[str, FleetNode], now: datetime, new_id: Callable[[], str]
    ) -> None:
        self._rollout = rollout
        self._nodes = nodes
        self._now = now
        self._new_id = new_id
        self._targets = {target.node_id: target for target in rollout.targets}
        self._waves = list(rollout.waves)
        self.orders: list[OrderDraft] = []

    def result(self) -> Rollout:
        return replace(self._rollout, targets=tuple(self._targets.values()), waves=tuple(self._waves))

    def do(self, decision: Decision) -> None:  # noqa: C901, PLR0912 - one line per decision reads best in one place
        match decision:
            case Start():
                self._set(state=RolloutState.RUNNING, started_at=self._rollout.started_at or self._now, reason="")
            case OpenWave(index):
                self._wave(index, state=WaveState.OPEN, opened_at=self._now, reason="")
            case OrderNode(node_id):
                self._order(self._targets[node_id])
            case AlreadyThere(node_id):
                self._there(self._targets[node_id])
            case Grant(node_id):
                self._grant(self._targets[node_id])
            case MarkUnknown(node_id, reason):
                self._end(node_id, TargetState.UNKNOWN, reason)
            case Withdraw(node_id, reason, give_back):
                self._withdraw(self._targets[node_id], reason, give_back=give_back)
            case GiveBack(node_id):
                self._targets[node_id] = stop(self._targets[node_id], self._now, "")
            case CancelTurn(node_id, reason):
                self._cancel_turn(self._targets[node_id], reason)
            case StartSoak(index):
                self._wave(index, state=WaveState.SOAKING, soaking_since=self._now, reason="")
            case FinishWave(index):
                self._wave(index, state=WaveState.DONE, finished_at=self._now, reason="")
            case Halt(reason):
                self._set(state=RolloutState.HALTED, reason=reason)
                self._stop_waves(reason)
            case Succeed(reason):
                self._set(state=RolloutState.SUCCEEDED, finished_at=self._now, reason=reason)
            case Abort(reason):
                self._set(state=RolloutState.ABORTED, finished_at=self._now, reason=reason)
            case Explain(reason):
                self._set(reason=reason)

    def _set(self, **values: object) -> None:
        self._rollout = replace(self._rollout, **values)  # type: ignore[arg-type]

    def _wave(self, index: int, **values: object) -> None:
        self._waves[index - 1] = replace(self._waves[index - 1], **values)  # type: ignore[arg-type]

    def _stop_waves(self, reason: str) -> None:
        self._waves = [halted(wave, reason) for wave in self._waves]

    def _end(self, node_id: str, state: TargetState, reason: str) -> None:
        self._targets[node_id] = replace(self._targets[node_id], state=state, finished_at=self._now, reason=reason)

    def _version(self, node_id: str) -> str:
        node = self._nodes.get(node_id)
        return node.facts.version if node and node.facts else ""

    def _there(self, target: Target) -> None:
        version = self._version(target.node_id)
        self._targets[target.node_id] = replace(target, from_version=version, to_version=version)
        self._end(target.node_id, TargetState.ALREADY_THERE, "")

    def _cancel_turn(self, target: Target, reason: str) -> None:
        if target.state is TargetState.WAITING:
            self._end(target.node_id, TargetState.CANCELLED, reason)
        else:
            self._targets[target.node_id] = replace(target, give_back=False)

    def _order(self, target: Target) -> None:
        update, policy = self._rollout.update, self._rollout.policy
        expires_at = deadlines.expires_at(update, policy, self._now)
        order = self._draft(target.node_id, OrderKind.UPDATE, update=update, expires_at=expires_at)
        self._targets[target.node_id] = replace(
            target,
            state=TargetState.ORDERED,
            order_id=order.id,
            cancel_order_id="",
            grant_order_id="",
            give_back=False,
            attempts=target.attempts + 1,
            phase=None,
            heard_seq=0,  # a node set up anew counts its events from 1 again
            ordered_at=self._now,
            accepted_at=None,
            from_version=self._version(target.node_id),
        )

    def _grant(self, target: Target) -> None:
        order = self._draft(target.node_id, OrderKind.GRANT, target=target.order_id)
        self._targets[target.node_id] = replace(target, grant_order_id=order.id)

    def _withdraw(self, target: Target, reason: str, *, give_back: bool) -> None:
        order = self._draft(target.node_id, OrderKind.CANCEL, target=target.order_id, reason=reason)
        self._targets[target.node_id] = replace(target, cancel_order_id=order.id, give_back=give_back)

    def _draft(self, node_id: str, kind: OrderKind, **values: object) -> OrderDraft:
        order = OrderDraft(
            id=self._new_id(),
            kind=kind,
            node_id=node_id,
            rollout_id=self._rollout.id,
            **values,  # type: ignore[arg-type]
        )
        self.orders.append(order)
        return order


def halted(wave: Wave, reason: str) -> Wave:
    """Return ``wave`` after the rollout was halted or aborted; one that waits or is done stays as it is."""
    if wave.state in (WaveState.OPEN, WaveState.SOAKING):
        return replace(wave, state=WaveState.HALTED, reason=reason)
    return wave
