"""The fleet's nodes: who they are, what they last reported, and their two counters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Update, bindparam, case, func, select, update

from controller.rollout.model import FleetNode
from controller.store.chunks import chunks
from controller.store.tables import nodes, targets
from controller.store.upsert import insert
from shared.errors import NotFoundError
from shared.messages import HealthReport, NodeFacts
from shared.states import TargetState

_IN_FLIGHT = (TargetState.ORDERED, TargetState.ACCEPTED)


@dataclass(frozen=True, kw_only=True)
class Contact:
    """What one batch of events says about its node."""

    node_id: str
    seen_at: datetime  #: when the controller received the latest
    seqs: tuple[int, ...]  #: of the events that were new
    facts: NodeFacts | None = None  #: the latest; None: nothing new
    health: HealthReport | None = None  #: likewise


class Nodes:
    """The nodes on one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def register(self, node: FleetNode, now: datetime) -> FleetNode:
        """Add ``node``, or bring its labels, address and event key up to date; what it reported stays.

        ``facts``, ``last_seen``, ``health`` and ``current_*`` of the argument are ignored.
        """
        given = {"labels": dict(node.labels), "address": node.address, "event_key": node.event_key}
        counters = {"registered_at": now, "order_seq": 0, "last_event_seq": 0, "event_gaps": 0}
        statement = insert(self._connection, nodes).values(id=node.id, **given, **counters)
        self._connection.execute(statement.on_conflict_do_update(index_elements=[nodes.c.id], set_=given))
        return self.get(node.id)

    def get(self, node_id: str) -> FleetNode:
        """Return one node.

        Raises:
            NotFoundError: no such node is registered.
        """
        row = self._connection.execute(_SELECT.where(nodes.c.id == node_id)).first()
        if row is None:
            raise NotFoundError(f"cannot find node {node_id}: it is not registered", cure="see osctl node list")
        return _node(row)

    def all(self) -> Sequence[FleetNode]:
        """Return every node, by id."""
        return [_node(row) for row in self._connection.execute(_SELECT.order_by(nodes.c.id))]

    def event_keys(self, node_ids: Collection[str]) -> dict[str, str]:
        """Return the event keys of those of ``node_ids`` that are registered."""
        keys: dict[str, str] = {}
        for part in chunks(node_ids):
            query = select(nodes.c.id, nodes.c.event_key).where(nodes.c.id.in_(part))
            keys.update((row.id, row.event_key) for row in self._connection.execute(query))
        return keys

    def take_order_seqs(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """Raise each node's order counter by ``wanted[node]``, atomically; return the first number of each.

        Nodes are raised in the order of their ids, so that two transactions cannot lock each other out.

        Raises:
            NotFoundError: no such node is registered.
        """
        return {node_id: self._take(node_id, wanted[node_id]) for node_id in sorted(wanted)}

    def _take(self, node_id: str, count: int) -> int:
        raised = update(nodes).where(nodes.c.id == node_id).values(order_seq=nodes.c.order_seq + count)
        last: int | None = self._connection.execute(raised.returning(nodes.c.order_seq)).scalar()
        if last is None:
            raise NotFoundError(f"cannot number an order for node {node_id}: it is not registered")
        return last - count + 1

    def heard(self, contacts: Collection[Contact]) -> None:
        """Record what nodes reported, and count the events that are missing in between."""
        contacts = sorted(contacts, key=lambda each: each.node_id)  # one lock order for all transactions
        self._each(_seen, [{"node": each.node_id, "at": each.seen_at} for each in contacts])
        self._each(_facts, [{"node": each.node_id, "new": each.facts} for each in contacts if each.facts])
        self._each(_health, [{"node": each.node_id, "new": each.health} for each in contacts if each.health])
        self._each(_count, [{"node": each.node_id, "seq": seq} for each in contacts for seq in sorted(each.seqs)])

    def _each(self, statement: Update, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(statement, rows)

    def gaps(self) -> dict[str, int]:
        """Return how many events each node has sent that never came, for the nodes that miss any."""
        query = select(nodes.c.id, nodes.c.event_gaps).where(nodes.c.event_gaps > 0)
        return {row.id: row.event_gaps for row in self._connection.execute(query)}


def _with_turn() -> Select[Any]:
    """Nodes with the turn that is in flight: at most one row per node, the latest order winning."""
    turn = (
        select(
            targets.c.node_id,
            targets.c.rollout_id,
            targets.c.phase,
            func.row_number()
            .over(partition_by=targets.c.node_id, order_by=[targets.c.ordered_at.desc(), targets.c.rollout_id.desc()])
            .label("place"),
        )
        .where(targets.c.state.in_(_IN_FLIGHT))
        .subquery()
    )
    joined = nodes.outerjoin(turn, (turn.c.node_id == nodes.c.id) & (turn.c.place == 1))
    return select(nodes, turn.c.rollout_id, turn.c.phase).select_from(joined)


_SELECT = _with_turn()
_one = update(nodes).where(nodes.c.id == bindparam("node"))
_seen = _one.values(last_seen=bindparam("at", type_=nodes.c.last_seen.type))
_facts = _one.values(facts=bindparam("new", type_=nodes.c.facts.type))
_health = _one.values(health=bindparam("new", type_=nodes.c.health.type))
_beyond = nodes.c.last_event_seq < bindparam("seq")
#: More numbers than a node can use up: one whose outbox was damaged begins anew at its clock's milliseconds.
_LEAP = 1_000_000_000
#: A number past the highest opens gaps, a number below it closes one; a leap is a new beginning, not a loss.
_count = _one.values(
    event_gaps=case(
        (bindparam("seq") - nodes.c.last_event_seq > _LEAP, nodes.c.event_gaps),
        (_beyond, nodes.c.event_gaps + (bindparam("seq") - 1 - nodes.c.last_event_seq)),
        (nodes.c.event_gaps > 0, nodes.c.event_gaps - 1),
        else_=0,
    ),
    last_event_seq=case((_beyond, bindparam("seq")), else_=nodes.c.last_event_seq),
)


def _node(row: Row[Any]) -> FleetNode:
    return FleetNode(
        id=row.id,
        labels=row.labels,
        address=row.address,
        event_key=row.event_key,
        facts=row.facts,
        last_seen=row.last_seen,
        health=row.health,
        current_rollout=row.rollout_id or "",
        current_phase=row.phase,
    )
