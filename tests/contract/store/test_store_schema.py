"""The schema on both databases: what migrations build is what the code expects."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from controller.store.store import Store
from controller.store.tables import metadata
from shared.errors import ConflictError, InputError, TransportError


def test_migrations_build_exactly_the_tables_that_the_code_uses(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = compare_metadata(context, metadata)

    assert differences == []


def test_migrating_twice_changes_nothing(store: Store) -> None:
    tables = set(inspect(store.engine).get_table_names())

    store.migrate()
    store.check()

    assert set(inspect(store.engine).get_table_names()) == tables == {*metadata.tables, "alembic_version"}


def test_an_empty_database_is_told_to_be_migrated(database: str) -> None:
    store = Store(database)

    with pytest.raises(ConflictError, match="its schema is empty") as caught:
        store.check()

    assert caught.value.cure == "run matic-controller migrate"
    store.close()


@pytest.mark.parametrize("call", ["migrate", "check"])
def test_a_database_of_a_newer_release_is_left_alone(store: Store, call: str) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(ConflictError, match="its schema 9999 is from a newer release"):
        getattr(store, call)()

    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"


def test_sqlite_is_durable_checked_and_readable_while_written(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}")
    store.migrate()

    with store.engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }

    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 15000}
    store.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("not a url", "cannot read database URL"),
        ("mysql://x/y", "only sqlite and postgresql are known"),
        ("sqlite://", "a database in memory"),
        ("sqlite:///:memory:", "a database in memory"),
    ],
    ids=["garbage", "mysql", "sqlite-nameless", "sqlite-memory"],
)
def test_a_database_that_cannot_serve_is_refused(url: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        Store(url)

    assert "sqlite:////" in caught.value.cure


def test_an_unreachable_database_is_a_transport_error(tmp_path: Path) -> None:
    store = Store(f"postgresql://nobody@/fleet?host={tmp_path}")

    with pytest.raises(TransportError, match="cannot use the database") as caught:
        store.migrate()

    assert caught.value.retriable


def test_a_file_that_is_no_database_is_reported_as_such(tmp_path: Path) -> None:
    path = tmp_path / "fleet.sqlite"
    path.write_bytes(b"this is no database, and long enough to be looked at as one" * 20)
    store = Store(f"sqlite:///{path}")

    with pytest.raises(TransportError, match="file is not a database"):
        store.migrate()

    assert path.read_bytes().startswith(b"this is no database")
    store.close()
