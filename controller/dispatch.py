"""Orders from the outbox to the nodes' queues, after the commit that made them.

Rules:
- An order is claimed in SQL before it is published, so a crash in between delays it by one claim at most.
- An order without an answer is published again when its lease is over, unless it still lies in the node's queue.
- All unanswered orders of a node go out in the order of their numbers.
- A key in Redis that is no queue holds up the orders of its own node alone.
- A clock that is set back puts nothing off: what it had written while it was ahead is mended.
- Redis away: orders stay due, and are tried again with growing pauses.
- Withdrawn and expired orders are not published; which ones those are is the store's knowledge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from controller.metrics import Metrics
from controller.outbound import Outbound
from controller.rollout.model import OrderRow, OrderState
from controller.store.store import Store
from shared.errors import TransportError

log = structlog.get_logger(__name__)

#: Nodes whose orders are published in one go.
NODES_AT_ONCE = 500
#: Doublings of the lease; beyond it the longest lease holds anyway.
_DOUBLINGS = 20


@dataclass(frozen=True, kw_only=True)
class Leases:
    """How long dispatch trusts what it has done."""

    claim: timedelta = timedelta(seconds=15)  #: for publishing; after it another dispatcher takes over
    first: timedelta = timedelta(seconds=30)  #: for the node to answer, the first time
    longest: timedelta = timedelta(minutes=5)  #: likewise, after several times
    silence: timedelta = timedelta(minutes=10)  #: for the outcome of an accepted order

    def answer(self, publish_count: int) -> timedelta:
        """Return the lease of an order that was published ``publish_count`` times before: doubled each time."""
        return min(self.longest, self.first * (1 << min(publish_count, _DOUBLINGS)))


class Dispatcher:
    """Publishes what is due.

    Args:
        store: the outbox.
        outbound: the nodes' queues.
        clock: returns the present, aware.
        metrics: counters.
        leases: how soon things are tried again.
        idle: longest pause in seconds; orders that other processes commit are seen after it at the latest.
    """

    def __init__(  # noqa: PLR0913 - it joins six parts, and is built in one place
        self,
        store: Store,
        outbound: Outbound,
        *,
        clock: Callable[[], datetime],
        metrics: Metrics,
        leases: Leases,
        idle: float = 1.0,
    ) -> None:
        self._store = store
        self._outbound = outbound
        self._clock = clock
        self._metrics = metrics
        self._leases = leases
        self._idle = idle
        self._looked_at = datetime.max.replace(tzinfo=UTC)  # an earlier life's clock may have been ahead, too

    def step(self) -> float:
        """Publish what is due; return the seconds to pause before the next step.

        Raises:
            TransportError: Redis or the database cannot be reached; the orders stay due.
        """
        now = self._clock()
        if now < self._looked_at:
            self._pull_back(now)
        self._looked_at = now
        with self._store.snapshot() as tx:
            due = tx.orders.next_due()
        if due is not None and due <= now and self._publish(now):
            return 0.0  # there may be more than fits into one go
        if due is not None and due <= now:
            return self._idle  # another dispatcher has it
        return self._idle if due is None else min(self._idle, (due - now).total_seconds())

    def _pull_back(self, now: datetime) -> None:
        """Mend what was written by a clock that was ahead: those orders would wait until that time comes."""
        longest = max(self._leases.claim, self._leases.longest, self._leases.silence)
        with self._store.transaction() as tx:
            orders = tx.orders.pull_back(now, now + longest)
        if orders:
            log.warning("the clock went back: orders that it had put off are due", orders=orders)

    def _publish(self, now: datetime) -> bool:
        with self._store.transaction() as tx:
            expired = tx.orders.close_expired(now)
            claimed = tx.orders.claim(now, now + self._leases.claim, nodes=NODES_AT_ONCE)
        if expired:
            log.info("orders expired before they were taken", orders=expired)
        try:
            claimed = self._without_blocked(claimed)
            present = self._put(claimed)
        except TransportError:
            # Due again at once: the pause between attempts is the loop's. Nobody knows how many Redis has taken.
            self._metrics.orders_waiting.labels("unreachable").inc(len(claimed))
            with self._store.transaction() as tx:
                tx.orders.postpone({row.order.id: now for row in claimed})
            raise
        self._settle(claimed, present)
        return bool(expired or claimed)

    def _without_blocked(self, claimed: Sequence[OrderRow]) -> Sequence[OrderRow]:
        """Return the orders that have a queue to go to; the others stay due, so that they hold up nobody else's."""
        blocked = self._outbound.blocked([row.order for row in claimed])
        if not blocked:
            return claimed
        self._metrics.orders_waiting.labels("blocked").inc(len(blocked))
        names = sorted({row.order.node_id for row in claimed if row.order.id in blocked})
        log.error("queues blocked: another program uses their keys in Redis", nodes=names, orders=len(blocked))
        with self._store.transaction() as tx:
            tx.orders.postpone(dict.fromkeys(blocked, self._clock() + self._leases.first))
        return [row for row in claimed if row.order.id not in blocked]

    def _put(self, claimed: Sequence[OrderRow]) -> set[str]:
        again = [row.order for row in claimed if row.publish_count > 0]
        present = self._outbound.waiting(again) if again else set()
        self._outbound.publish([row.order for row in claimed if row.order.id not in present])
        return present

    def _settle(self, claimed: Sequence[OrderRow], present: set[str]) -> None:
        now = self._clock()
        with self._store.transaction() as tx:
            tx.orders.published({row.order.id: now + self._lease(row) for row in claimed}, now)
        self._metrics.orders_waiting.labels("queued").inc(len(present))
        for row in claimed:
            if row.order.id not in present:
                self._metrics.orders.labels(row.order.kind).inc()
                log.info(
                    "order published",
                    node_id=row.order.node_id,
                    order_id=row.order.id,
                    rollout_id=row.order.rollout_id,
                    kind=row.order.kind,
                    times=row.publish_count + 1,
                )

    def _lease(self, row: OrderRow) -> timedelta:
        if row.state is OrderState.ACCEPTED:
            return self._leases.silence
        # Attempts of which Redis knew nothing are no silence of the node's.
        return self._leases.answer(row.publish_count if row.state is OrderState.PUBLISHED else 0)
