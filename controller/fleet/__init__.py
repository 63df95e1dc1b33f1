"""What people and programs can ask of the fleet: one method per call of FleetService. No gRPC, no SQL in here.

Every method that changes something is one transaction; the change is audited in the same one, and engine and dispatch
are woken after it.
"""

from __future__ import annotations

from controller.fleet.nodes import NodeCalls
from controller.fleet.rollbacks import RollbackCalls
from controller.fleet.rollouts import RolloutCalls
from controller.fleet.schedules import ScheduleCalls

__all__ = ["Fleet"]


class Fleet(NodeCalls, RolloutCalls, ScheduleCalls, RollbackCalls):
    """The controller's application service. Safe to share between threads."""

    def database(self) -> str:
        """Return ``sqlite`` or ``postgresql``."""
        return self._store.database
