"""What people and programs can ask of the fleet: one method per call of FleetService. No gRPC, no SQL in here.

Every method is one transaction; what it changes is audited in the same one, and the engine is woken after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from controller.rollout.model import FleetNode, Policy, Rollout
from controller.rollout.selection import ALL, Selection
from controller.store.store import Store
from shared.messages import RollbackRecord, Schedule, UpdateSpec


class Fleet:
    """The controller's application service.

    Args:
        store: where everything lives.
        clock: returns the present instant, aware.
        wake: tells the engine, after a commit, that there may be something to decide.
    """

    def __init__(self, store: Store, *, clock: Callable[[], datetime], wake: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake

    def register_node(
        self, node_id: str, *, labels: Mapping[str, str], address: str, event_key: str, actor: str
    ) -> FleetNode:
        """Add a node, or change the labels, address and key of a known one."""
        raise NotImplementedError

    def nodes(self, selection: Selection = ALL) -> Sequence[FleetNode]:
        """Return the chosen nodes by id."""
        raise NotImplementedError

    def node(self, node_id: str) -> FleetNode:
        """Return one node."""
        raise NotImplementedError

    def create_rollout(
        self, name: str, selection: Selection, update: UpdateSpec, policy: Policy, *, idempotency_key: str, actor: str
    ) -> Rollout:
        """Plan a rollout over the chosen nodes. The same key with the same request returns the rollout there is."""
        raise NotImplementedError

    def rollouts(self, *, limit: int = 0) -> Sequence[Rollout]:
        """Return the rollouts, newest first; without those that ``schedule_update`` made."""
        raise NotImplementedError

    def rollout(self, rollout_id: str) -> Rollout:
        """Return one rollout with its targets."""
        raise NotImplementedError

    def pause(self, rollout_id: str, *, reason: str, actor: str) -> Rollout:
        """Stop sending orders, and withdraw those that no node has switched for."""
        raise NotImplementedError

    def resume(self, rollout_id: str, *, reason: str, actor: str) -> Rollout:
        """Go on after a pause or a halt; failures so far are acknowledged and alone no longer halt."""
        raise NotImplementedError

    def abort(self, rollout_id: str, *, reason: str, actor: str) -> Rollout:
        """Stop for good."""
        raise NotImplementedError

    def schedule_update(self, selection: Selection, update: UpdateSpec, *, idempotency_key: str, actor: str) -> Rollout:
        """Send an update to the chosen nodes at once: a direct rollout of one wave."""
        raise NotImplementedError

    def schedule(self, schedule_id: str) -> Schedule:
        """Return the schedule with a fleet schedule id (``sched-...``) or an order id."""
        raise NotImplementedError

    def schedules(self, selection: Selection = ALL, *, limit: int = 0) -> Sequence[Schedule]:
        """Return the chosen nodes' schedules, newest first; 0: all."""
        raise NotImplementedError

    def schedules_of(self, rollout: Rollout) -> Sequence[Schedule]:
        """Return one schedule per target of ``rollout``."""
        raise NotImplementedError

    def cancel_schedule(self, schedule_id: str, *, reason: str, actor: str) -> tuple[str, Schedule]:
        """Withdraw one node's update; return the answer (a ``CancelAnswer``, or "pending") and the schedule."""
        raise NotImplementedError

    def trigger_rollback(self, selection: Selection, *, reason: str, actor: str) -> Sequence[tuple[str, str]]:
        """Order the chosen nodes back to their other slot; return (node id, order id) for each."""
        raise NotImplementedError

    def rollback_history(self, selection: Selection = ALL, *, limit: int = 0) -> Sequence[tuple[str, RollbackRecord]]:
        """Return (node id, record) for the chosen nodes, oldest first; the newest ``limit``, 0: all."""
        raise NotImplementedError

    def database(self) -> str:
        """Return ``sqlite`` or ``postgresql``."""
        return self._store.database
