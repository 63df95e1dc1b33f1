"""What should be true now: ``decide`` looks at a rollout and says what to do next. Pure and level-triggered.

It derives everything from the rows it is given and remembers nothing, so asking twice, late or after a crash gives
the same answer. One call returns the decisions of one step; the caller carries them out and asks again until
nothing is left (``changes.settle``).

Rules (architecture, life of a rollout):
- Only a running rollout sends orders; at most ``max_in_flight`` are out, by rank.
- A wave opens when the one before it is done; a wave is done when every turn in it is over, the threshold holds and
  it has soaked. A complete wave above the threshold halts the rollout, it never advances.
- Whoever misses a deadline becomes UNKNOWN, in every state of the rollout.
- Paused or halted: what is in flight is withdrawn, and a stopped turn is given back. Aborted: it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import islice

from controller.rollout import deadlines
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
from controller.rollout.gates import (
    Answer,
    FailureGate,
    Gate,
    ProofGate,
    Scene,
    SoakGate,
    StartGate,
    WindowGate,
    all_of,
)
from controller.rollout.model import FleetNode, Rollout, Target, Wave
from shared.states import Phase, RolloutState, TargetState, WaveState

#: Orders of one step: each is a few rows, and the transaction that writes them must not hold up ingest for long.
ORDERS_AT_ONCE = 500


def decide(rollout: Rollout, nodes: Mapping[str, FleetNode], now: datetime) -> tuple[Decision, ...]:
    """Return what to do next, or nothing.

    Args:
        rollout: as stored.
        nodes: the rollout's nodes by id, as far as they are known.
        now: the present, aware.
    """
    scene = Scene(rollout, nodes, now)
    step = tuple(_silent(scene))
    if step:
        return step
    rule = _RULES.get(rollout.state)
    return tuple(rule(scene)) if rule else ()


def _silent(scene: Scene) -> Iterator[Decision]:
    rollout, now = scene.rollout, scene.now
    for target in rollout.targets:
        if target.state is TargetState.ORDERED:
            accept_by = deadlines.accept_by(target, rollout.policy)
            if accept_by is not None and now >= accept_by:
                yield from _not_accepted(target, rollout)
        elif target.state is TargetState.ACCEPTED:
            finish_by = deadlines.finish_by(target, rollout.update, rollout.policy)
            if finish_by is not None and now >= finish_by:
                yield MarkUnknown(target.node_id, f"no outcome within {rollout.policy.finish_deadline:g} s")


def _not_accepted(target: Target, rollout: Rollout) -> Iterator[Decision]:
    if target.cancel_order_id and target.give_back:
        yield GiveBack(target.node_id)
        return
    reason = f"order not taken within {rollout.policy.accept_deadline:g} s"
    yield MarkUnknown(target.node_id, reason)
    if not target.cancel_order_id:
        yield Withdraw(target.node_id, reason, give_back=False)


def _scheduled(scene: Scene) -> Iterator[Decision]:
    reply = StartGate().ask(scene)
    if reply.answer is Answer.OPEN:
        yield Start()
    else:
        yield from _explain(scene, reply.reason)


def _running(scene: Scene) -> Iterator[Decision]:
    reply = FailureGate().ask(scene)
    if reply.answer is Answer.HALT:
        yield Halt(reply.reason)
        return
    wave = next((wave for wave in scene.rollout.waves if wave.state is not WaveState.DONE), None)
    if wave is None:
        yield from _finished(scene.rollout)
    elif wave.state is WaveState.WAITING:
        yield OpenWave(wave.index)
    else:
        yield from _work(scene, wave)


def _work(scene: Scene, wave: Wave) -> Iterator[Decision]:
    turns = scene.rollout.in_wave(wave.index)
    if all(target.state.final for target in turns):
        yield from _complete(scene, wave)
        return
    step = [*_orders(scene, wave, turns), *_grants(scene)]
    yield from step or _explain(scene, f"wave {wave.index} of {len(scene.rollout.waves)} is open")


def _complete(scene: Scene, wave: Wave) -> Iterator[Decision]:
    gates: list[Gate] = [FailureGate(complete=True), ProofGate(wave)]
    if wave.soaking_since is not None:
        gates.append(SoakGate(wave))
    reply = all_of(gates, scene)
    if reply.answer is Answer.HALT:
        yield Halt(reply.reason)
    elif reply.answer is Answer.WAIT:
        yield from _explain(scene, reply.reason)
    elif wave.soaking_since is None and wave.soak > 0:
        yield StartSoak(wave.index)
    else:
        yield FinishWave(wave.index)


def _orders(scene: Scene, wave: Wave, turns: tuple[Target, ...]) -> Iterator[Decision]:
    in_flight = sum(target.in_flight for target in scene.rollout.targets)
    permits = min((scene.rollout.policy.max_in_flight or wave.size) - in_flight, ORDERS_AT_ONCE)
    for target in turns:
        if target.state is not TargetState.WAITING:
            continue
        if _already_there(scene.rollout, scene.nodes.get(target.node_id)):
            yield AlreadyThere(target.node_id)
        elif permits > 0:
            permits -= 1
            yield OrderNode(target.node_id)


def _already_there(rollout: Rollout, node: FleetNode | None) -> bool:
    if node is None or node.facts is None or not rollout.update.image.version:
        return False
    proven = not node.facts.good_slots or node.facts.slot in node.facts.good_slots
    return proven and node.facts.version == rollout.update.image.version


def _grants(scene: Scene) -> Iterator[Decision]:
    if scene.rollout.update.needs_grant:
        for target in scene.rollout.targets:
            staged = target.state is TargetState.ACCEPTED and target.phase is Phase.STAGED
            if staged and not target.grant_order_id and not target.cancel_order_id:
                yield Grant(target.node_id)


def _finished(rollout: Rollout) -> Iterator[Decision]:
    counts = rollout.counts()
    if set(counts) == {TargetState.CANCELLED}:
        yield Abort("every turn was cancelled")
    else:
        yield Succeed(", ".join(f"{counts[state]} {state}" for state in TargetState if state in counts))


def _held(scene: Scene) -> Iterator[Decision]:
    yield from _withdrawals(scene, f"rollout {scene.rollout.id} is {scene.rollout.state}", give_back=True)


def _aborted(scene: Scene) -> Iterator[Decision]:
    reason = f"rollout {scene.rollout.id} is aborted"
    for target in scene.rollout.targets:
        if target.state is TargetState.WAITING or (target.in_flight and target.give_back):
            yield CancelTurn(target.node_id, reason)
    yield from _withdrawals(scene, reason, give_back=False)


def _withdrawals(scene: Scene, reason: str, *, give_back: bool) -> Iterator[Decision]:
    # UNKNOWN too: the node may be alive and merely unheard, and must not start what was stopped.
    out = (t for t in scene.rollout.targets if t.in_flight or t.state is TargetState.UNKNOWN)
    for target in islice((t for t in out if t.order_id and not t.cancel_order_id), ORDERS_AT_ONCE):
        yield Withdraw(target.node_id, reason, give_back=give_back and target.in_flight)


def _explain(scene: Scene, reason: str) -> Iterator[Decision]:
    window = WindowGate().ask(scene).reason
    whole = f"{reason}; {window}" if window else reason
    if scene.rollout.reason != whole:
        yield Explain(whole)


_RULES: dict[RolloutState, Callable[[Scene], Iterator[Decision]]] = {
    RolloutState.SCHEDULED: _scheduled,
    RolloutState.RUNNING: _running,
    RolloutState.PAUSED: _held,
    RolloutState.HALTED: _held,
    RolloutState.ABORTED: _aborted,
}
