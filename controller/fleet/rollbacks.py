"""Calls about rollbacks: order one, and the fleet-wide history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from controller.fleet.base import Calls, chosen, some
from controller.rollout.model import OrderDraft
from controller.rollout.policy import ACCEPT_DEADLINE
from controller.rollout.selection import ALL, Selection
from controller.store.store import Transaction
from shared.messages import RollbackRecord, new_id
from shared.states import OrderKind


class RollbackCalls(Calls):
    """Send nodes back to their other slot, and see which went."""

    def trigger_rollback(self, selection: Selection, *, reason: str, actor: str) -> Sequence[tuple[str, str]]:
        """Order the chosen nodes back to their other slot; return (node id, order id) for each.

        A node that takes no order for an hour is not sent back any more: by then people have moved on.

        Raises:
            InputError: no node is chosen.
            NotFoundError: a named node is not registered.
        """

        def work(tx: Transaction, now: datetime) -> Sequence[tuple[str, str]]:
            drafts = [
                OrderDraft(
                    id=new_id(),
                    kind=OrderKind.ROLLBACK,
                    node_id=node.id,
                    reason=reason,
                    expires_at=now + timedelta(seconds=ACCEPT_DEADLINE),
                )
                for node in some(tx, selection)
            ]
            tx.orders.add(drafts, now)
            for draft in drafts:
                tx.audit.add(at=now, actor=actor, action="node.rollback", subject=draft.node_id, reason=reason)
            return [(draft.node_id, draft.id) for draft in drafts]

        return self._write(work)

    def rollback_history(self, selection: Selection = ALL, *, limit: int = 0) -> Sequence[tuple[str, RollbackRecord]]:
        """Return (node id, record) for the chosen nodes, oldest first; the newest ``limit``, 0: all.

        Raises:
            NotFoundError: a named node is not registered.
            InputError: the selector cannot be read.
        """
        with self._store.snapshot() as tx:
            nodes = None if selection.all else [node.id for node in chosen(tx, selection)]
            found = tx.rollbacks.list(node_ids=nodes, limit=limit)
        return [(each.node_id, each.record) for each in found]
