"""The transactional outbox: orders are rows first, messages later.

An order is claimed (``claim``) in a transaction of its own before it is put on a queue: a crash in between only
delays it until the claim has lapsed, and a withdrawal that comes second sees that the order may be out already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, or_, select, update

from controller.rollout.model import OrderDraft, OrderRow, OrderState
from controller.store.chunks import chunks
from controller.store.nodes import Nodes
from controller.store.tables import orders
from shared.errors import NotFoundError, StaleVersionError
from shared.messages import Order
from shared.states import OrderKind

_PUBLISHABLE = [state for state in OrderState if state.publishable]
#: The node has not answered yet.
_UNANSWERED = (OrderState.PENDING, OrderState.PUBLISHED)


class Orders:
    """The outbox on one transaction."""

    def __init__(self, connection: Connection, *, lock: bool = False) -> None:
        self._connection = connection
        self._lock = lock

    def add(self, drafts: Sequence[OrderDraft], now: datetime) -> list[Order]:
        """Number and store new orders, due at once; return them as they will travel, in the order given.

        Raises:
            NotFoundError: a node is not registered.
            ConflictError: an order id is taken.
        """
        if not drafts:
            return []
        wanted = Counter(draft.node_id for draft in drafts)
        following = Nodes(self._connection).take_order_seqs(wanted)
        added = []
        for draft in drafts:
            added.append(draft.numbered(following[draft.node_id], now))
            following[draft.node_id] += 1
        self._connection.execute(orders.insert(), [_new_row(order, now) for order in added])
        return added

    def get(self, order_id: str) -> OrderRow:
        """Return one order.

        Raises:
            NotFoundError: there is no such order.
        """
        row = self._connection.execute(select(orders).where(orders.c.id == order_id)).first()
        if row is None:
            raise NotFoundError(f"cannot find order {order_id}")
        return _order_row(row)

    def by_ids(self, order_ids: Collection[str]) -> dict[str, OrderRow]:
        """Return those of the orders that exist; in a writer their rows stay locked until the commit."""
        found: dict[str, OrderRow] = {}
        for part in chunks(sorted(order_ids)):
            query = select(orders).where(orders.c.id.in_(part)).order_by(orders.c.id)
            query = query.with_for_update() if self._lock else query
            found.update((row.id, _order_row(row)) for row in self._connection.execute(query))
        return found

    def claim(self, now: datetime, lapse_at: datetime, *, nodes: int) -> Sequence[OrderRow]:
        """Claim what is due, of up to ``nodes`` nodes, until ``lapse_at``; return it by node and ``seq``.

        With a node's due order go its other unanswered ones, due or not: after Redis was emptied they must reach the
        node in the order of their numbers, for it refuses an unknown lower one. For the same reason a node waits
        while an order of its is claimed and not yet published. On PostgreSQL two dispatchers never claim a new
        order both.
        """
        # Expiry is about starting: an accepted order is asked about for as long as its outcome is missing.
        alive = or_(orders.c.state == OrderState.ACCEPTED, orders.c.expires_at.is_(None), orders.c.expires_at > now)
        due = orders.c.state.in_(_PUBLISHABLE) & (orders.c.next_publish_at <= now) & alive
        claimed_before = (orders.c.state == OrderState.PENDING) & (orders.c.next_publish_at > now)
        busy = select(orders.c.node_id).where(claimed_before, alive)
        some = select(orders.c.node_id).where(due, orders.c.node_id.not_in(busy)).distinct().limit(nodes)
        together = due | ((orders.c.state == OrderState.PUBLISHED) & alive)
        query = (
            select(orders)
            .where(orders.c.node_id.in_(some.scalar_subquery()), together)
            .order_by(orders.c.node_id, orders.c.seq)
        )
        claimed = self._connection.execute(query.with_for_update(skip_locked=True)).all()
        for part in chunks([row.id for row in claimed]):
            values = {"publish_count": orders.c.publish_count + 1, "next_publish_at": lapse_at}
            self._connection.execute(update(orders).where(orders.c.id.in_(part)).values(values))
        return [_order_row(row) for row in claimed]

    def published(self, again_at: Mapping[str, datetime], now: datetime) -> None:
        """Mark claimed orders as put on the queue (or found there), each to be put there again at its instant.

        One that was answered or withdrawn meanwhile keeps its state.
        """
        rows = [{"order": order_id, "at": at, "now": now} for order_id, at in sorted(again_at.items())]
        if rows:
            self._connection.execute(_published, rows)

    def postpone(self, again_at: Mapping[str, datetime]) -> None:
        """Try claimed orders again at these instants; for when Redis cannot be reached."""
        rows = [{"order": order_id, "at": at} for order_id, at in sorted(again_at.items())]
        if rows:
            self._connection.execute(_postponed, rows)

    def update(self, changes: Sequence[tuple[OrderRow, OrderRow]]) -> None:
        """Write what nodes' answers made of orders, given as (as seen, as changed): state and next publishing.

        Raises:
            StaleVersionError: somebody else moved one of them since it was read.
        """
        rows = [
            {"order": new.order.id, "seen": seen.state, "new": new.state, "at": new.next_publish_at}
            for seen, new in changes
        ]
        if rows and self._connection.execute(_answered, rows).rowcount != len(rows):
            raise StaleVersionError(f"cannot update {len(rows)} orders: somebody else moved one of them")

    def withdraw(self, order_ids: Collection[str]) -> set[str]:
        """Stop publishing these orders; return those that may have left already and need a CANCEL order."""
        left: set[str] = set()
        for part in chunks(order_ids):
            open_ones = orders.c.id.in_(part) & orders.c.state.in_(_PUBLISHABLE)
            values = {"state": OrderState.WITHDRAWN, "next_publish_at": None}
            statement = update(orders).where(open_ones).values(values)
            rows = self._connection.execute(statement.returning(orders.c.id, orders.c.publish_count))
            left |= {row.id for row in rows if row.publish_count > 0}
        return left

    def close_expired(self, now: datetime) -> list[str]:
        """Withdraw what expired without an answer; return the ids. A late answer still counts."""
        expired = orders.c.state.in_(_UNANSWERED) & (orders.c.expires_at <= now)
        statement = update(orders).where(expired).values(state=OrderState.WITHDRAWN, next_publish_at=None)
        return list(self._connection.execute(statement.returning(orders.c.id)).scalars())

    def cancels_of(self, order_ids: Collection[str]) -> set[str]:
        """Return the ids of the CANCEL orders that mean any of these orders."""
        found: set[str] = set()
        for part in chunks(order_ids):
            query = select(orders.c.id).where(orders.c.target.in_(part), orders.c.kind == OrderKind.CANCEL)
            found.update(self._connection.execute(query).scalars())
        return found

    def pull_back(self, now: datetime, horizon: datetime) -> int:
        """Make due what is to be published later than ``horizon``, and return how many orders those are.

        Nothing is postponed so far: such a time was written while the clock was ahead.
        """
        lost = orders.c.state.in_(_PUBLISHABLE) & (orders.c.next_publish_at > horizon)
        return self._connection.execute(update(orders).where(lost).values(next_publish_at=now)).rowcount

    def next_due(self) -> datetime | None:
        """Return when the next order is due, or None when none is waiting."""
        query = select(orders.c.next_publish_at).where(orders.c.state.in_(_PUBLISHABLE))
        query = query.where(orders.c.next_publish_at.is_not(None)).order_by(orders.c.next_publish_at).limit(1)
        return self._connection.execute(query).scalar()


# OR, not IN: a list of parameters cannot be run for many rows at once.
_claimed = update(orders).where(
    orders.c.id == bindparam("order"), or_(*(orders.c.state == state for state in _PUBLISHABLE))
)
_postponed = _claimed.values(next_publish_at=bindparam("at", type_=orders.c.next_publish_at.type))
_published = _postponed.values(
    published_at=bindparam("now", type_=orders.c.published_at.type),
    state=case((orders.c.state == OrderState.PENDING, OrderState.PUBLISHED), else_=orders.c.state),
)


_answered = (
    update(orders)
    .where(orders.c.id == bindparam("order"), orders.c.state == bindparam("seen", type_=orders.c.state.type))
    .values(
        state=bindparam("new", type_=orders.c.state.type),
        next_publish_at=bindparam("at", type_=orders.c.next_publish_at.type),
    )
)


def _new_row(order: Order, now: datetime) -> dict[str, Any]:
    return {
        "id": order.id,
        "node_id": order.node_id,
        "seq": order.seq,
        "kind": order.kind,
        "rollout_id": order.rollout_id,
        "target": order.target,
        "content": order,
        "state": OrderState.PENDING,
        "created_at": now,
        "expires_at": order.expires_at,
        "publish_count": 0,
        "next_publish_at": now,
    }


def _order_row(row: Row[Any]) -> OrderRow:
    return OrderRow(
        order=row.content,
        state=row.state,
        published_at=row.published_at,
        publish_count=row.publish_count,
        next_publish_at=row.next_publish_at,
    )
