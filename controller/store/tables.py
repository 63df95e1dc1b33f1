"""The tables. Rows are what is true; every number shown to people is counted from them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from controller.rollout.model import OrderState, Policy
from controller.store.columns import Document, Instant, Name
from shared.messages import Event, HealthReport, NodeFacts, Order, RollbackRecord, UpdateSpec
from shared.states import EventKind, OrderKind, Phase, RollbackType, RolloutState, TargetState, WaveState

#: Constraint names are spelled out, so that a later migration can name what it drops on both databases.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# No lengths: PostgreSQL would refuse a row for what SQLite takes; the edges check what comes in.
_TEXT = String()

nodes = Table(
    "nodes",
    metadata,
    Column("id", _TEXT, primary_key=True),
    Column("labels", Document(dict[str, str]), nullable=False),
    Column("address", _TEXT, nullable=False),
    Column("event_key", _TEXT, nullable=False),
    Column("registered_at", Instant, nullable=False),
    Column("facts", Document(NodeFacts)),
    Column("health", Document(HealthReport)),
    Column("last_seen", Instant),
    Column("order_seq", BigInteger, nullable=False),  # the last one given out
    Column("last_event_seq", BigInteger, nullable=False),  # the highest one received
    Column("event_gaps", BigInteger, nullable=False),  # events below it that have not come
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", _TEXT, primary_key=True),
    Column("name", _TEXT, nullable=False),
    Column("state", Name(RolloutState), nullable=False),
    Column("reason", _TEXT, nullable=False),
    Column("spec", Document(UpdateSpec), nullable=False),  # "update" is a word of SQL
    Column("policy", Document(Policy), nullable=False),
    Column("direct", Boolean, nullable=False),
    Column("created_by", _TEXT, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("version", BigInteger, nullable=False),  # compare-and-set
    Column("idempotency_key", _TEXT, unique=True),  # NULL where none was given
    Column("request_digest", _TEXT, nullable=False),
    Column("lease_owner", _TEXT, nullable=False),
    Column("lease_until", Instant),
    Index(None, "state"),
    Index(None, "created_at"),
)

waves = Table(
    "waves",
    metadata,
    Column("rollout_id", _TEXT, ForeignKey("rollouts.id"), primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
    Column("soak", Double, nullable=False),  # seconds
    Column("state", Name(WaveState), nullable=False),
    Column("reason", _TEXT, nullable=False),
    Column("opened_at", Instant),
    Column("soaking_since", Instant),
    Column("finished_at", Instant),
)

targets = Table(
    "targets",
    metadata,
    Column("rollout_id", _TEXT, primary_key=True),
    Column("node_id", _TEXT, ForeignKey("nodes.id"), primary_key=True),
    Column("wave", Integer, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("state", Name(TargetState), nullable=False),
    Column("order_id", _TEXT, nullable=False, index=True),
    Column("cancel_order_id", _TEXT, nullable=False, index=True),
    Column("grant_order_id", _TEXT, nullable=False),
    Column("give_back", Boolean, nullable=False),
    Column("acknowledged", Boolean, nullable=False),
    Column("schedule_id", _TEXT, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("phase", Name(Phase)),
    Column("heard_seq", BigInteger, nullable=False),
    Column("ordered_at", Instant),
    Column("accepted_at", Instant),
    Column("finished_at", Instant),
    Column("error_kind", _TEXT, nullable=False),
    Column("reason", _TEXT, nullable=False),
    Column("from_version", _TEXT, nullable=False),
    Column("to_version", _TEXT, nullable=False),
    ForeignKeyConstraint(["rollout_id", "wave"], ["waves.rollout_id", "waves.index"]),
    Index(None, "node_id"),
    Index(None, "state"),
)

orders = Table(
    "orders",
    metadata,
    Column("id", _TEXT, primary_key=True),
    Column("node_id", _TEXT, ForeignKey("nodes.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", Name(OrderKind), nullable=False),
    Column("rollout_id", _TEXT, nullable=False, index=True),
    Column("target", _TEXT, nullable=False, index=True),
    Column("content", Document(Order), nullable=False),
    Column("state", Name(OrderState), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("published_at", Instant),
    Column("publish_count", Integer, nullable=False),  # times it was about to be put on the queue
    Column("next_publish_at", Instant),  # NULL: never
    UniqueConstraint("node_id", "seq"),
    Index(None, "state", "next_publish_at"),
)

events = Table(
    "events",
    metadata,
    Column("node_id", _TEXT, primary_key=True),
    Column("id", _TEXT, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("kind", Name(EventKind), nullable=False),
    Column("at", Instant, nullable=False),  # by the node's clock
    Column("received_at", Instant, nullable=False, index=True),
    Column("order_id", _TEXT, nullable=False, index=True),
    Column("rollout_id", _TEXT, nullable=False),
    Column("event", Document(Event), nullable=False),
)

rollbacks = Table(
    "rollbacks",
    metadata,
    Column("node_id", _TEXT, primary_key=True),
    Column("id", _TEXT, primary_key=True),
    Column("at", Instant, nullable=False, index=True),
    Column("type", Name(RollbackType), nullable=False),
    Column("kind", _TEXT, nullable=False),
    Column("rollout_id", _TEXT, nullable=False, index=True),
    Column("order_id", _TEXT, nullable=False),
    Column("from_version", _TEXT, nullable=False),
    Column("record", Document(RollbackRecord), nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),  # SQLite numbers only INTEGER keys
    Column("at", Instant, nullable=False),
    Column("actor", _TEXT, nullable=False),
    Column("action", _TEXT, nullable=False),
    Column("subject", _TEXT, nullable=False, index=True),
    Column("reason", _TEXT, nullable=False),
    Index(None, "action", "at"),
)

counters = Table(
    "counters",
    metadata,
    Column("name", _TEXT, primary_key=True),
    Column("day", _TEXT, primary_key=True),  # YYYYMMDD in UTC
    Column("value", Integer, nullable=False),
)
