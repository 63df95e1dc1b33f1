"""The two databases that the store runs on: SQLite for one machine, PostgreSQL for several controllers.

Rules:
- A writer takes its lock when it begins (SQLite: ``BEGIN IMMEDIATE``): it never learns halfway that it may not.
- A reader sees one instant: SQLite's WAL snapshot, PostgreSQL's REPEATABLE READ.
- Every commit is on disk before it returns (SQLite: ``synchronous=FULL``; PostgreSQL's own default).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from shared.errors import InputError

#: Seconds that a writer waits for another writer of the same SQLite file.
BUSY_SECONDS = 15.0
#: Connections per process: API threads, engine, dispatch and ingest rarely need more at once.
POOL_SIZE = 10

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}",
    "PRAGMA foreign_keys=ON",
)


def database_url(text: str) -> URL:
    """Parse a database URL; ``postgresql://`` means psycopg 3.

    Raises:
        InputError: not a URL, a database in memory, or neither SQLite nor PostgreSQL.
    """
    cure = "write sqlite:////var/lib/matic-controller/fleet.sqlite or postgresql://user@host/name"
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise InputError(f"cannot read database URL: {error}", cure=cure) from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise InputError(f"cannot use database {backend!r}: only sqlite and postgresql are known", cure=cure)
    if backend == "sqlite" and (url.database or ":memory:") == ":memory:":
        raise InputError("cannot use a database in memory: orders must outlive the process", cure=cure)
    return url


def open_engine(url: URL) -> Engine:
    """Return the engine for ``url``; no connection is made yet."""
    options: dict[str, Any] = {"pool_size": POOL_SIZE, "max_overflow": POOL_SIZE}
    if url.get_backend_name() == "sqlite":
        # Python's own transaction handling begins late and DEFERRED; ours is spelled out in _begin_sqlite.
        engine = create_engine(url, connect_args={"isolation_level": None, "timeout": BUSY_SECONDS}, **options)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # pre_ping: a PostgreSQL that was restarted costs one round trip, not one failed request.
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10}, **options)


def writing(connection: Connection) -> Connection:
    """Make the transaction that ``connection`` is about to begin a writer."""
    return connection.execution_options(matic_begin="BEGIN IMMEDIATE")


def reading(connection: Connection) -> Connection:
    """Make the transaction that ``connection`` is about to begin a reader of one instant."""
    if connection.dialect.name == "postgresql":
        return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return connection.execution_options(matic_begin="BEGIN")


def _prepare_sqlite(dbapi_connection: Any, _record: object) -> None:  # noqa: ANN401 - SQLAlchemy types it so
    cursor = dbapi_connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("matic_begin", "BEGIN IMMEDIATE"))
