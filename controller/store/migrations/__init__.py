"""Alembic: every released shape of the tables, in order. Packaged: ``migrate`` needs no checkout."""
