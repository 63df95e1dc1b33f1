"""Brings a database to this release's schema, and tells when it is from another release."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from controller.store.database import writing
from shared.errors import ConflictError

_FOLDER = Path(__file__).parent / "migrations"
#: Names the advisory lock under which PostgreSQL migrates: two controllers may start at the same time.
_LOCK = 0x6D61_7469_63


def migrate(engine: Engine) -> None:
    """Apply what is missing, all in one transaction.

    Raises:
        ConflictError: the database is of a newer release.
    """
    with engine.connect() as raw, writing(raw).begin():
        if raw.dialect.name == "postgresql":
            raw.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _refuse_newer(raw)
        command.upgrade(_config(raw), "head")


def check(engine: Engine) -> None:
    """Compare the database's revision with this release's.

    Raises:
        ConflictError: it is older or newer.
    """
    with engine.connect() as raw:
        _refuse_newer(raw)
        current, head = _current(raw), _scripts(raw).get_current_head()
    if current != head:
        raise ConflictError(
            f"cannot use the database: its schema is {current or 'empty'}, this release needs {head}",
            cure="run matic-controller migrate",
        )


def _refuse_newer(connection: Connection) -> None:
    current = _current(connection)
    known = {script.revision for script in _scripts(connection).walk_revisions()}
    if current is not None and current not in known:
        raise ConflictError(
            f"cannot use the database: its schema {current} is from a newer release",
            cure="install that release, or restore the backup from before the upgrade",
        )


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _scripts(connection: Connection) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(connection))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
