"""Run by Alembic: migrates on the connection that ``controller.store.upgrade`` hands in."""

from __future__ import annotations

from alembic import context

from controller.store.columns import render_type
from controller.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=render_type,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
