"""The nouns of a rollout: nodes, targets, waves, the rollout itself and its orders. Frozen; change by ``replace``.

Rules that the shape of these values carries:
- ``Target.order_id`` stays when a turn is given back, so that a late report about that order still finds its target.
- ``Rollout.version`` guards every write (compare-and-set). Whoever changes a target bumps it, ingest included.
- All instants are aware and in UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from controller.rollout.policy import DIRECT, Policy, WavePlan
from shared.messages import HealthReport, NodeFacts, Order, UpdateSpec
from shared.states import OrderKind, Phase, RolloutState, TargetState, WaveState

__all__ = [
    "DIRECT",
    "FleetNode",
    "OrderDraft",
    "OrderRow",
    "OrderState",
    "Outline",
    "Policy",
    "Rollout",
    "Target",
    "Wave",
    "WavePlan",
]


@dataclass(frozen=True, kw_only=True)
class FleetNode:
    """What the controller knows about one node."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = ""  #: host:port of its NodeService; "" if not known
    event_key: str = ""  #: Ed25519 public key of its events: 32 bytes in base64
    facts: NodeFacts | None = None  #: as last reported
    last_seen: datetime | None = None  #: when its latest event came
    health: HealthReport | None = None  #: as last reported
    current_rollout: str = ""  #: the rollout in which it has a turn that is not over; "" for none
    current_phase: Phase | None = None  #: where inside that update it stands


@dataclass(frozen=True, kw_only=True)
class Target:
    """One node's turn in one rollout."""

    node_id: str
    wave: int  #: index of its wave, from 1
    rank: int = 0  #: place in the rollout's salted order, from 0; targets are kept sorted by it
    state: TargetState = TargetState.WAITING
    order_id: str = ""  #: the latest UPDATE order; kept when the turn is given back
    cancel_order_id: str = ""  #: the CANCEL order that withdraws ``order_id``; "" if none was sent
    grant_order_id: str = ""  #: the GRANT order that lets ``order_id`` switch; "" if none was sent
    give_back: bool = False  #: a stopped order returns the turn (halt, pause) instead of ending it (abort, cancel)
    acknowledged: bool = False  #: a person resumed after this failure: alone it no longer halts
    schedule_id: str = ""  #: sched-YYYYMMDD-NNN, given by the store at creation; the node has an id of its own
    attempts: int = 0  #: UPDATE orders sent so far
    phase: Phase | None = None  #: as last reported
    heard_seq: int = 0  #: sequence number of the node's latest event about this turn; earlier phases are old news
    ordered_at: datetime | None = None
    accepted_at: datetime | None = None
    finished_at: datetime | None = None
    error_kind: str = ""
    reason: str = ""
    from_version: str = ""  #: what the node ran when it was ordered
    to_version: str = ""  #: what it runs as of the outcome

    @property
    def in_flight(self) -> bool:
        """Whether an order is out and its outcome is awaited."""
        return self.state in (TargetState.ORDERED, TargetState.ACCEPTED)


@dataclass(frozen=True, kw_only=True)
class Wave:
    """One cohort. Wave n+1 opens only after wave n is done."""

    index: int  #: from 1
    size: int  #: targets in it
    soak: float = 0.0  #: seconds
    state: WaveState = WaveState.WAITING
    reason: str = ""  #: why it is in this state; for a waiting one, what it waits for
    opened_at: datetime | None = None
    soaking_since: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """A campaign: one update, its targets in waves, and how far it is."""

    id: str  #: rollout-YYYYMMDD-NNN
    name: str
    update: UpdateSpec
    policy: Policy
    waves: tuple[Wave, ...]  #: by index
    targets: tuple[Target, ...]  #: by rank
    created_by: str
    created_at: datetime
    state: RolloutState = RolloutState.SCHEDULED
    reason: str = ""  #: why it is in this state; for a running one, what it waits for
    started_at: datetime | None = None
    finished_at: datetime | None = None
    version: int = 0  #: for compare-and-set; 0: not stored yet
    idempotency_key: str = ""  #: unique where not empty
    request_digest: str = ""  #: SHA-256 of the request, to tell "same key, same request" from "same key, another"
    direct: bool = False  #: an update sent straight to nodes (``schedule_update``), kept as a rollout of one wave

    @property
    def settled(self) -> bool:
        """Whether nothing is left to decide. An aborted rollout may still await nodes that were too late to stop."""
        return self.state.final and all(target.state.final for target in self.targets)

    def counts(self) -> dict[TargetState, int]:
        """Return how many targets are in each state that occurs."""
        return dict(Counter(target.state for target in self.targets))

    def target(self, node_id: str) -> Target | None:
        """Return the node's target, or None if the node takes no part."""
        return next((target for target in self.targets if target.node_id == node_id), None)

    def in_wave(self, index: int) -> tuple[Target, ...]:
        """Return the targets of wave ``index``, by rank."""
        return tuple(target for target in self.targets if target.wave == index)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A rollout as a list shows it: its targets are left out, and counted."""

    rollout: Rollout
    counts: Mapping[TargetState, int]  #: targets in each state that occurs


class OrderState(StrEnum):
    """Where one order stands on its way; the ``orders`` table is the transactional outbox."""

    PENDING = "pending"  #: committed; not published yet
    PUBLISHED = "published"  #: put on the node's queue; re-published on a lease until the node answers
    ACCEPTED = "accepted"  #: the node has journaled it; re-published after a longer silence, to learn a lost outcome
    REFUSED = "refused"  #: final: the node will not carry it out
    DONE = "done"  #: final: its outcome or answer is known
    WITHDRAWN = "withdrawn"  #: a CANCEL order for it is out: not published again (back to ACCEPTED if too late)

    @property
    def publishable(self) -> bool:
        """Whether dispatch may put it on the queue once ``next_publish_at`` has come."""
        return self in (OrderState.PENDING, OrderState.PUBLISHED, OrderState.ACCEPTED)


@dataclass(frozen=True, kw_only=True)
class OrderDraft:
    """An order that was decided; the store gives it ``seq`` from the node's atomic counter."""

    id: str
    kind: OrderKind
    node_id: str
    rollout_id: str = ""
    expires_at: datetime | None = None
    update: UpdateSpec | None = None
    target: str = ""  #: for CANCEL and GRANT: the UPDATE order that is meant
    reason: str = ""

    def numbered(self, seq: int, issued_at: datetime) -> Order:
        """Return the order as it travels."""
        return Order(
            id=self.id,
            kind=self.kind,
            node_id=self.node_id,
            seq=seq,
            issued_at=issued_at,
            expires_at=self.expires_at,
            rollout_id=self.rollout_id,
            update=self.update,
            target=self.target,
            reason=self.reason,
        )


@dataclass(frozen=True, kw_only=True)
class OrderRow:
    """One row of the outbox. Signed when it is published, so no signature is stored."""

    order: Order
    state: OrderState = OrderState.PENDING
    published_at: datetime | None = None  #: latest time
    publish_count: int = 0
    next_publish_at: datetime | None = None  #: not before this instant; None: at once if pending, else never
