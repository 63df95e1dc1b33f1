"""Initial tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
NAME = sa.String(length=32)
TEXT = sa.String()


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_action_at", "audit", ["action", "at"])
    op.create_index("ix_audit_subject", "audit", ["subject"])

    op.create_table(
        "counters",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("day", TEXT, nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", "day", name="pk_counters"),
    )
    op.create_table(
        "events",
        sa.Column("node_id", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("order_id", TEXT, nullable=False),
        sa.Column("rollout_id", TEXT, nullable=False),
        sa.Column("event", JSON, nullable=False),
        sa.PrimaryKeyConstraint("node_id", "id", name="pk_events"),
    )
    op.create_index("ix_events_order_id", "events", ["order_id"])
    op.create_index("ix_events_received_at", "events", ["received_at"])

    op.create_table(
        "nodes",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("labels", JSON, nullable=False),
        sa.Column("address", TEXT, nullable=False),
        sa.Column("event_key", TEXT, nullable=False),
        sa.Column("registered_at", INSTANT, nullable=False),
        sa.Column("facts", JSON, nullable=True),
        sa.Column("health", JSON, nullable=True),
        sa.Column("last_seen", INSTANT, nullable=True),
        sa.Column("order_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_event_seq", sa.BigInteger(), nullable=False),
        sa.Column("event_gaps", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
    )
    op.create_table(
        "rollbacks",
        sa.Column("node_id", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("type", NAME, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("rollout_id", TEXT, nullable=False),
        sa.Column("order_id", TEXT, nullable=False),
        sa.Column("from_version", TEXT, nullable=False),
        sa.Column("record", JSON, nullable=False),
        sa.PrimaryKeyConstraint("node_id", "id", name="pk_rollbacks"),
    )
    op.create_index("ix_rollbacks_at", "rollbacks", ["at"])
    op.create_index("ix_rollbacks_rollout_id", "rollbacks", ["rollout_id"])

    op.create_table(
        "rollouts",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("spec", JSON, nullable=False),
        sa.Column("policy", JSON, nullable=False),
        sa.Column("direct", sa.Boolean(), nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", TEXT, nullable=True),
        sa.Column("request_digest", TEXT, nullable=False),
        sa.Column("lease_owner", TEXT, nullable=False),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_rollouts"),
        sa.UniqueConstraint("idempotency_key", name="uq_rollouts_idempotency_key"),
    )
    op.create_index("ix_rollouts_created_at", "rollouts", ["created_at"])
    op.create_index("ix_rollouts_state", "rollouts", ["state"])

    op.create_table(
        "orders",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("node_id", TEXT, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("rollout_id", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("content", JSON, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("published_at", INSTANT, nullable=True),
        sa.Column("publish_count", sa.Integer(), nullable=False),
        sa.Column("next_publish_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name="fk_orders_node_id"),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        sa.UniqueConstraint("node_id", "seq", name="uq_orders_node_id_seq"),
    )
    op.create_index("ix_orders_rollout_id", "orders", ["rollout_id"])
    op.create_index("ix_orders_state_next_publish_at", "orders", ["state", "next_publish_at"])
    op.create_index("ix_orders_target", "orders", ["target"])

    op.create_table(
        "waves",
        sa.Column("rollout_id", TEXT, nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("soak", sa.Double(), nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("opened_at", INSTANT, nullable=True),
        sa.Column("soaking_since", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name="fk_waves_rollout_id"),
        sa.PrimaryKeyConstraint("rollout_id", "index", name="pk_waves"),
    )
    op.create_table(
        "targets",
        sa.Column("rollout_id", TEXT, nullable=False),
        sa.Column("node_id", TEXT, nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("order_id", TEXT, nullable=False),
        sa.Column("cancel_order_id", TEXT, nullable=False),
        sa.Column("grant_order_id", TEXT, nullable=False),
        sa.Column("give_back", sa.Boolean(), nullable=False),
        sa.Column("acknowledged", sa.Boolean(), nullable=False),
        sa.Column("schedule_id", TEXT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("phase", NAME, nullable=True),
        sa.Column("heard_seq", sa.BigInteger(), nullable=False),
        sa.Column("ordered_at", INSTANT, nullable=True),
        sa.Column("accepted_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("error_kind", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("from_version", TEXT, nullable=False),
        sa.Column("to_version", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name="fk_targets_node_id"),
        sa.ForeignKeyConstraint(
            ["rollout_id", "wave"], ["waves.rollout_id", "waves.index"], name="fk_targets_rollout_id_wave"
        ),
        sa.PrimaryKeyConstraint("rollout_id", "node_id", name="pk_targets"),
    )
    op.create_index("ix_targets_cancel_order_id", "targets", ["cancel_order_id"])
    op.create_index("ix_targets_node_id", "targets", ["node_id"])
    op.create_index("ix_targets_order_id", "targets", ["order_id"])
    op.create_index("ix_targets_schedule_id", "targets", ["schedule_id"])
    op.create_index("ix_targets_state", "targets", ["state"])


def downgrade() -> None:
    """Undo the change."""
    op.drop_table("targets")
    op.drop_table("waves")
    op.drop_table("orders")
    op.drop_table("rollouts")
    op.drop_table("rollbacks")
    op.drop_table("nodes")
    op.drop_table("events")
    op.drop_table("counters")
    op.drop_table("audit")
