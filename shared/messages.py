"""Orders (controller to node) and events (node to controller), and what they are made of.

Models evolve by addition: unknown fields are ignored, new fields have defaults, nothing is renamed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from uuid_utils import uuid7

from shared.images import Image
from shared.slots import Slot
from shared.states import (
    CancelAnswer,
    EventKind,
    OrderKind,
    Phase,
    RollbackType,
    ScheduleState,
    Verdict,
)
from shared.windows import MaintenanceWindow

Text = Annotated[str, Field(max_length=4096)]


def new_id() -> str:
    """Return a time-ordered unique id (UUID version 7, RFC 9562)."""
    return str(uuid7())


class Model(BaseModel):
    """Base of everything that travels: frozen, unknown fields ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class HealthPolicy(Model):
    """How health is asked after a switch (requirement H3)."""

    timeout: float = Field(default=300.0, gt=0, le=86400)  #: seconds until an undecided answer is a failure
    retry_interval: float = Field(default=10.0, gt=0, le=3600)  #: seconds between two rounds
    max_retries: int = Field(default=30, ge=0, le=10000)  #: rounds after the first one


class UpdateSpec(Model):
    """One update as a user asks for it; the same for one node and for a fleet."""

    image: Image
    auto_rollback: bool = False  #: roll back by itself when a critical check fails (requirement F1)
    health: HealthPolicy = HealthPolicy()
    start_at: AwareDatetime | None = None  #: not before this instant
    window: MaintenanceWindow | None = None  #: switch only while it is open; preparing is allowed at any hour
    needs_grant: bool = False  #: once staged, wait for a GRANT order before the switch
    pre_update_hook: Text = ""  #: name of an executable in the node's hook folder; "" for none
    post_update_hook: Text = ""  #: likewise, run after the update has reached a final state
    lift_denial: bool = False  #: install even a version that this node has rolled back from


class Order(Model):
    """What the controller asks of one node. Idempotent by ``id``; ordered by ``seq``."""

    id: str
    kind: OrderKind
    node_id: str
    seq: int = Field(ge=1)  #: strictly growing per node; a node refuses an unknown id with a lower seq
    issued_at: AwareDatetime
    expires_at: AwareDatetime | None = None  #: not to be started after this instant
    rollout_id: str = ""
    update: UpdateSpec | None = None  #: for UPDATE
    target: str = ""  #: for CANCEL and GRANT: the id of the UPDATE order that is meant
    reason: Text = ""  #: for CANCEL and ROLLBACK

    @model_validator(mode="after")
    def _complete(self) -> Order:
        if (self.kind is OrderKind.UPDATE) != (self.update is not None):
            raise ValueError(f"order {self.id}: an update order, and no other, carries an update")
        if self.kind in (OrderKind.CANCEL, OrderKind.GRANT) and not self.target:
            raise ValueError(f"order {self.id}: a {self.kind} order must name its target order")
        return self


class CheckResult(Model):
    """One health check's answer."""

    name: str
    verdict: Verdict
    critical: bool = True
    message: Text = ""
    duration_ms: float = 0.0


class HealthReport(Model):
    """All checks' answers of one round."""

    verdict: Verdict
    checked_at: AwareDatetime
    checks: tuple[CheckResult, ...] = ()
    rounds: int = 1  #: rounds asked until this answer


class RollbackRecord(Model):
    """One entry of the rollback history (requirement R5)."""

    id: str
    at: AwareDatetime
    type: RollbackType
    reason: Text
    kind: str = ""  #: slug: unhealthy, fell_back, boot_loop, manual
    from_slot: Slot
    to_slot: Slot
    from_version: str = ""
    to_version: str = ""
    order_id: str = ""
    schedule_id: str = ""
    rollout_id: str = ""
    health: HealthReport | None = None  #: the answer that caused it


class NodeFacts(Model):
    """What a node is at the moment."""

    slot: Slot
    version: str
    boot_id: str
    agent_version: str
    architecture: str = ""
    compatible: str = ""
    good_slots: tuple[Slot, ...] = ()


class Event(Model):
    """What one node tells the controller. Idempotent by ``id``; gaps show in ``seq``."""

    id: str
    kind: EventKind
    node_id: str
    seq: int = Field(ge=1)  #: grows by one per node; survives restarts
    at: AwareDatetime
    order_id: str = ""
    rollout_id: str = ""
    schedule_id: str = ""  #: the node's own id of the schedule
    phase: Phase | None = None
    state: ScheduleState | None = None
    error_kind: str = ""  #: slug from shared.errors, or unhealthy, fell_back, boot_loop, manual
    reason: Text = ""
    facts: NodeFacts | None = None
    health: HealthReport | None = None
    rollback: RollbackRecord | None = None
    cancel_answer: CancelAnswer | None = None


class Schedule(Model):
    """One update on one node, as users ask about it (requirements S1, S2)."""

    id: str
    state: ScheduleState
    phase: Phase
    update: UpdateSpec | None = None  #: None: a rollback away from something that no journaled update installed
    node_id: str = ""
    order_id: str = ""
    rollout_id: str = ""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error_kind: str = ""
    reason: Text = ""
    origin: Literal["node", "fleet"] = "node"
