"""Store a changed rollout together with everything that follows from it at this moment, in one transaction.

Engine and people's calls both end here, so that there is one way from a decision to rows.

Rules:
- The rollout is saved by compare-and-set, its new orders are rows of the same transaction; dispatch sees both or none.
- An order that never left is withdrawn on the spot: its turn is given back or over at once, and no CANCEL is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from controller.rollout.changes import Settled, settle
from controller.rollout.decisions import Abort, Halt, Start, Succeed
from controller.rollout.model import FleetNode, OrderDraft, Rollout, Target
from controller.rollout.progress import stop
from controller.store.store import Transaction
from shared.messages import new_id
from shared.states import OrderKind

log = structlog.get_logger(__name__)

#: Who did it, in the audit trail, where it was the controller itself.
ENGINE = "engine"
_AUDITED = {Start: "rollout.start", Halt: "rollout.halt", Succeed: "rollout.succeed", Abort: "rollout.abort"}


def fleet_of(tx: Transaction, rollout: Rollout) -> dict[str, FleetNode]:
    """Return the rollout's nodes by id."""
    wanted = {target.node_id for target in rollout.targets}
    return {node.id: node for node in tx.nodes.all() if node.id in wanted}


def enact(
    tx: Transaction, changed: Rollout, *, seen: Rollout, now: datetime, orders: Sequence[OrderDraft] = ()
) -> Rollout:
    """Settle ``changed`` and store it with its orders; return it as stored.

    Args:
        tx: a writer, in which ``seen`` was loaded.
        changed: ``seen`` after a command, or ``seen`` itself.
        seen: the rollout as it was loaded.
        now: the present, aware.
        orders: what the command itself sends.

    Raises:
        StaleVersionError: somebody else saved the rollout first; load and decide again.
    """
    settled = settle(changed, fleet_of(tx, changed), now, new_id)
    if settled.rollout == seen:
        return seen
    drafts = [*orders, *settled.orders]
    rollout, drafts = _spare_unsent(tx, settled.rollout, drafts, now)
    rollout = tx.rollouts.save(rollout, seen=seen)
    tx.orders.add(drafts, now)
    _tell(tx, settled, now)
    return rollout


def _spare_unsent(
    tx: Transaction, rollout: Rollout, drafts: list[OrderDraft], now: datetime
) -> tuple[Rollout, list[OrderDraft]]:
    cancels = {draft.target: draft for draft in drafts if draft.kind is OrderKind.CANCEL}
    if not cancels:
        return rollout, drafts
    rows = tx.orders.by_ids(cancels)
    # Leave to switch that has not arrived is withdrawn with the order that it is for.
    grants = {turn.grant_order_id for turn in rollout.targets if turn.order_id in cancels} - {""}
    tx.orders.withdraw({*cancels, *grants})
    in_flight = {target.order_id for target in rollout.targets if target.in_flight}
    unsent = {order_id for order_id, row in rows.items() if row.publish_count == 0} & in_flight
    spared = {cancels[order_id].id for order_id in unsent}
    turns = tuple(_stopped(turn, now) if turn.order_id in unsent else turn for turn in rollout.targets)
    return replace(rollout, targets=turns), [draft for draft in drafts if draft.id not in spared]


def _stopped(target: Target, now: datetime) -> Target:
    return stop(replace(target, cancel_order_id=""), now, "withdrawn before it was sent")


def _tell(tx: Transaction, settled: Settled, now: datetime) -> None:
    rollout = settled.rollout
    for decision in settled.decisions:
        action = _AUDITED.get(type(decision))
        if action:
            reason = getattr(decision, "reason", "")
            tx.audit.add(at=now, actor=ENGINE, action=action, subject=rollout.id, reason=reason)
            log.info("rollout decided", rollout_id=rollout.id, action=action, reason=reason)
