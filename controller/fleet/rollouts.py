"""Calls about rollouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from controller.enact import enact, fleet_of
from controller.fleet.base import Calls, names, some
from controller.fleet.requests import Request
from controller.rollout import commands
from controller.rollout.model import DIRECT, FleetNode, Outline, Policy, Rollout
from controller.rollout.plan import plan
from controller.rollout.selection import Selection
from controller.store.store import Transaction
from shared.errors import AlreadyExistsError, ConflictError
from shared.messages import UpdateSpec


class RolloutCalls(Calls):
    """Create, look up and steer rollouts."""

    def create_rollout(  # noqa: PLR0913 - as many as the call has fields
        self, name: str, selection: Selection, update: UpdateSpec, policy: Policy, *, idempotency_key: str, actor: str
    ) -> Rollout:
        """Plan a rollout over the chosen nodes and begin it; the same key with the same request returns the one there.

        Raises:
            InputError: the request is not usable, or chooses no node.
            NotFoundError: a named node is not registered.
            AlreadyExistsError: the key was used for another request.
            ConflictError: a chosen node has a turn in another rollout that is not over.
        """
        name = name or f"to {update.image.version or update.image.sha256[:12]}"
        return self._create(
            Request(
                name=name,
                selection=selection,
                update=update,
                policy=policy,
                direct=False,
                idempotency_key=idempotency_key,
                actor=actor,
            )
        )

    def schedule_update(self, selection: Selection, update: UpdateSpec, *, idempotency_key: str, actor: str) -> Rollout:
        """Send an update to the chosen nodes at once: a direct rollout of one wave, in which nobody stops another.

        Raises:
            InputError, NotFoundError, AlreadyExistsError, ConflictError: as for ``create_rollout``.
        """
        return self._create(
            Request(
                name=f"update to {update.image.version or update.image.sha256[:12]}",
                selection=selection,
                update=update,
                policy=DIRECT,
                direct=True,
                idempotency_key=idempotency_key,
                actor=actor,
            )
        )

    def rollouts(self, *, limit: int = 0) -> Sequence[Outline]:
        """Return the rollouts, newest first, 0: all; without those that ``schedule_update`` made."""
        with self._store.snapshot() as tx:
            return tx.rollouts.list(limit=limit, direct=False)

    def rollout(self, rollout_id: str) -> Rollout:
        """Return one rollout with its targets.

        Raises:
            NotFoundError: there is no such rollout.
        """
        with self._store.snapshot() as tx:
            return tx.rollouts.get(rollout_id)

    def pause(self, rollout_id: str, *, reason: str, actor: str) -> Rollout:
        """Send no further orders and withdraw those that no node has switched for; their turns are given back.

        Raises:
            NotFoundError: there is no such rollout.
            IllegalTransitionError: it is halted or over.
        """
        return self._steer(rollout_id, "rollout.pause", lambda it, *_: commands.pause(it, reason), reason, actor)

    def resume(self, rollout_id: str, *, reason: str, actor: str) -> Rollout:
        """Go on after a pause or a halt; after a halt the failures so far are acknowledged.

        Raises:
            NotFoundError: there is no such rollout.
            IllegalTransitionError: it is over.
        """

        def change(rollout: Rollout, tx: Transaction, _now: datetime) -> Rollout:
            return commands.resume(rollout, fleet_of(tx, rollout), reason)

        return self._steer(rollout_id, "rollout.resume", change, reason, actor)

    def abort(self, rollout_id: str, *, reason: str, actor: str) -> Rollout:
        """Stop for good: waiting turns are over, orders in flight are withdrawn.

        Raises:
            NotFoundError: there is no such rollout.
            IllegalTransitionError: it has ended otherwise.
        """
        return self._steer(
            rollout_id, "rollout.abort", lambda it, _tx, now: commands.abort(it, reason, now), reason, actor
        )

    def _steer(
        self,
        rollout_id: str,
        action: str,
        change: Callable[[Rollout, Transaction, datetime], Rollout],
        reason: str,
        actor: str,
    ) -> Rollout:
        def work(tx: Transaction, now: datetime) -> Rollout:
            seen = tx.rollouts.get(rollout_id)
            changed = change(seen, tx, now)
            if changed is seen:  # said twice: nothing happens, nothing to audit
                return seen
            tx.audit.add(at=now, actor=actor, action=action, subject=rollout_id, reason=reason)
            return enact(tx, changed, seen=seen, now=now)

        return self._write(work)

    def _create(self, request: Request) -> Rollout:
        def work(tx: Transaction, now: datetime) -> Rollout:
            there = _attached(tx, request)
            if there is not None:
                return there
            # Drawing the number locks the day's counter: from here on creators are one after the other, so that two
            # of them cannot both find a node free, or a key unused.
            rollout_id = tx.ids.rollout(now)
            there = _attached(tx, request)
            if there is not None:
                return there
            nodes = some(tx, request.selection)
            _check_free(tx, nodes)
            rollout = tx.rollouts.insert(_planned(tx, request, nodes, rollout_id, now))
            action = "schedule.create" if request.direct else "rollout.create"
            tx.audit.add(at=now, actor=request.actor, action=action, subject=rollout_id, reason=request.name)
            return enact(tx, rollout, seen=rollout, now=now)

        return self._write(work)


def _attached(tx: Transaction, request: Request) -> Rollout | None:
    there = tx.rollouts.by_key(request.idempotency_key) if request.idempotency_key else None
    if there is not None and there.request_digest != request.digest():
        raise AlreadyExistsError(
            f"cannot create rollout: idempotency key {request.idempotency_key!r} belongs to {there.id}, "
            "which was asked for differently",
            cure="use another key, or repeat the request unchanged",
        )
    return there


def _check_free(tx: Transaction, nodes: Sequence[FleetNode]) -> None:
    busy = tx.targets.busy([node.id for node in nodes])
    if busy:
        taken = [f"{node_id} in {busy[node_id]}" for node_id in sorted(busy)]
        raise ConflictError(
            f"cannot update {len(busy)} of {len(nodes)} nodes: busy in another rollout: {names(taken)}",
            cure="wait for it, abort it, or choose other nodes",
        )


def _planned(tx: Transaction, request: Request, nodes: Sequence[FleetNode], rollout_id: str, now: datetime) -> Rollout:
    drawn = plan(nodes, request.policy, salt=rollout_id, now=now)
    schedules = tx.ids.schedules(now, len(drawn.targets))
    return Rollout(
        id=rollout_id,
        name=request.name,
        # Halt means halt: a staged node of a rollout switches only once it is told that the rollout still goes on.
        update=request.update.model_copy(update={"needs_grant": not request.direct}),
        policy=request.policy,
        waves=drawn.waves,
        targets=tuple(replace(t, schedule_id=s) for t, s in zip(drawn.targets, schedules, strict=True)),
        created_by=request.actor,
        created_at=now,
        idempotency_key=request.idempotency_key,
        request_digest=request.digest(),
        direct=request.direct,
    )
