"""The store: what the controller knows, in SQL. Nothing that matters lives anywhere else.

Usage::

    with store.transaction() as tx:          # one writer; all or nothing
        rollout = tx.rollouts.get(rollout_id)
        tx.rollouts.save(replace(rollout, state=RolloutState.PAUSED))
        tx.after_commit(dispatcher.wake)     # runs only once the rows are durable

    with store.snapshot() as tx:             # reads one instant, takes no lock
        nodes = tx.nodes.all()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from controller.store import upgrade
from controller.store.audit import Audit
from controller.store.database import database_url, open_engine, reading, writing
from controller.store.events import Events
from controller.store.ids import Ids
from controller.store.nodes import Nodes
from controller.store.orders import Orders
from controller.store.rollbacks import Rollbacks
from controller.store.rollouts import Rollouts
from controller.store.targets import Targets
from shared.errors import ConflictError, FleetError, InputError, StaleVersionError, TransportError

log = structlog.get_logger(__name__)

#: PostgreSQL: serialization failure, deadlock. The other transaction won; reading again mends it.
_LOST_A_RACE = frozenset({"40001", "40P01"})
#: PostgreSQL: no room for more.
_DISK_FULL = "53100"


class Transaction:
    """One unit of work: the repositories on one connection, between BEGIN and COMMIT."""

    def __init__(self, connection: Connection, *, writer: bool) -> None:
        self.nodes = Nodes(connection)
        self.rollouts = Rollouts(connection, lock=writer)
        self.targets = Targets(connection)
        self.orders = Orders(connection, lock=writer)
        self.events = Events(connection)
        self.rollbacks = Rollbacks(connection)
        self.audit = Audit(connection)
        self.ids = Ids(connection)
        self._after: list[Callable[[], object]] = []

    def after_commit(self, action: Callable[[], object]) -> None:
        """Call ``action`` once the transaction is durable; never if it is rolled back.

        It must only hasten what a later tick would do anyway: a crash before it runs loses it.
        """
        self._after.append(action)

    def run_after_commit(self) -> None:
        """Run the actions in order. One that fails is logged: the commit stands, whatever they do."""
        for action in self._after:
            try:
                action()
            except Exception:
                log.exception("action after commit failed")


class Store:
    """The database behind a URL. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        self.url = database_url(url)
        self.engine = open_engine(self.url)

    @property
    def database(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self.url.get_backend_name()

    def migrate(self) -> None:
        """Bring the tables to this release's schema, and make the folder of a new SQLite file.

        Does nothing when all is there already.

        Raises:
            ConflictError: the database was written by a newer release.
            TransportError: the database cannot be reached.
        """
        if self.database == "sqlite":
            Path(self.url.database or "").absolute().parent.mkdir(parents=True, exist_ok=True)
        with explained():
            upgrade.migrate(self.engine)

    def check(self) -> None:
        """Make sure that the tables are this release's.

        Raises:
            ConflictError: they are older or newer; the cure says what to do.
            TransportError: the database cannot be reached.
        """
        with explained():
            upgrade.check(self.engine)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Begin a writer; commit at the end of the block, roll back when it raises.

        Raises:
            StaleVersionError: another transaction won a race; do the whole block again.
            ConflictError: a row that must be unique is there already.
            InputError: the database cannot hold a value.
            TransportError: the database cannot be reached, or stayed locked for too long.
        """
        with explained(), self.engine.connect() as raw, writing(raw).begin():
            tx = Transaction(raw, writer=True)
            yield tx
        tx.run_after_commit()

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """Begin a reader that sees one instant; nothing is to be written in it.

        Raises:
            TransportError: the database cannot be reached.
        """
        with explained(), self.engine.connect() as raw, reading(raw).begin():
            yield Transaction(raw, writer=False)

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


@contextmanager
def explained() -> Iterator[None]:
    """Turn the driver's errors into the families of ``shared.errors``; our own pass unchanged."""
    try:
        yield
    except FleetError:
        raise
    except IntegrityError as error:
        raise ConflictError(f"cannot store row: {_cause(error)}") from error
    except DataError as error:
        raise InputError(f"cannot store value: {_cause(error)}") from error
    except ProgrammingError:
        raise  # our own mistake: nobody can mend it by waiting
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _LOST_A_RACE:
            raise StaleVersionError(f"cannot finish transaction: {_cause(error)}") from error
        cause = _cause(error)
        full = "disk is full" in cause or getattr(error.orig, "sqlstate", None) == _DISK_FULL
        cure = "free space on the database's disk" if full else "check database_url, and that the database runs"
        raise TransportError(f"cannot use the database: {cause}", cure=cure) from error
    except PoolTimeoutError as error:
        raise TransportError("cannot get a database connection: all are in use", cure="try again") from error


def _cause(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]
