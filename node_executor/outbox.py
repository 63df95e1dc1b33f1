"""Events go out: kept in SQLite until Redis has taken them, signed, in order.

- ``append`` is durable when it returns (WAL, ``synchronous=FULL``), and gives the event its sequence number.
  Numbers grow by one and are never used twice, not even after a restart or when rows have gone.
- A thread pushes batches in order and deletes a batch when Redis has answered. A crash between the two sends it twice:
  the controller drops duplicates by id.
- Redis may lose what it has taken: it keeps nothing on disk. This box does not guard against that, **the protocol
  does**: the controller sends an order again until it has seen it accepted and, later, its outcome; the node answers
  a duplicate by appending both anew. Only phases in between can be missing then.
- The box is bounded. Full, it drops what only tells progress, the oldest first, and answers last; each drop is a gap
  in the numbers, which the controller can see.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type, wait_random_exponential
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from shared.celery_app import push_events, redis_client
from shared.errors import DiskFullError, StateFileError
from shared.messages import Event
from shared.signing import Signer
from shared.states import EventKind

log = logging.getLogger(__name__)

#: Events kept while Redis cannot be reached; some 20 MB, some hundred updates.
MAX_EVENTS = 10_000
#: Events that one command to Redis carries.
_BATCH = 100
#: Longest wait between two attempts to reach Redis, seconds.
_LONGEST_WAIT = 60.0
#: Kinds whose loss costs nobody a decision.
_PROGRESS = (EventKind.PHASE, EventKind.HEALTH, EventKind.HELLO)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- AUTOINCREMENT: a number is not given again after its row has gone
    progress INTEGER NOT NULL,
    event TEXT NOT NULL
)
"""


class Outbox:
    """The node's events that Redis has not taken yet. Safe to use from several threads; close it."""

    def __init__(self, path: Path, signer: Signer, *, max_events: int = MAX_EVENTS) -> None:
        """Open the box at ``path``; ``signer`` is the node. A damaged file is set aside and begun anew.

        Raises:
            DiskFullError: no room for it.
            StateFileError: it cannot be opened.
        """
        self._path, self._signer, self._max = path, signer, max_events
        self._lock = threading.Lock()
        self._appended = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        with self._reporting("open"):
            try:
                self._db = self._connect()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise  # full, locked or not allowed: the file itself may be well
                self._set_aside(error)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute(_SCHEMA)
            if (verdict := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(verdict)
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        log.error("the outbox is damaged and begun anew, the old one is %s.damaged: %s", self._path, error)
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").replace(f"{self._path}.damaged{suffix}")
        self._db = self._connect()
        # The last number is lost with the file. Milliseconds are ahead of any count, so numbers still only grow.
        first = int(time.time() * 1000)
        self._db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (first,))

    @contextlib.contextmanager
    def _reporting(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            full = "full" in str(error) or "No space" in str(error)
            raise (DiskFullError if full else StateFileError)(
                f"cannot {verb} outbox {self._path}: {error}",
                cure=f"make room on the disk that holds {self._path.parent}" if full else "",
            ) from error

    @contextlib.contextmanager
    def _transaction(self, verb: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self._reporting(verb):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def append(self, event: Event) -> None:
        """Number ``event`` (its own ``seq`` is a placeholder) and keep it until Redis has taken it.

        Durable when this returns; never waits for the network.

        Raises:
            DiskFullError: no room for it.
            StateFileError: it cannot be made durable.
        """
        text = event.model_dump_json(exclude={"seq"}, exclude_none=True)
        with self._transaction("write to") as db:
            count = db.execute("SELECT count(*) FROM events").fetchone()[0]
            if count >= self._max:
                self._drop(db, count - self._max + 1)
            db.execute("INSERT INTO events (progress, event) VALUES (?, ?)", (event.kind in _PROGRESS, text))
        self._appended.set()

    def _drop(self, db: sqlite3.Connection, count: int) -> None:
        worst = "SELECT seq FROM events ORDER BY progress DESC, seq LIMIT ?"
        db.execute(f"DELETE FROM events WHERE seq IN ({worst})", (count,))  # noqa: S608 - a constant
        log.warning("the outbox is full: %d events were dropped", count)

    def pending(self, limit: int = -1) -> list[Event]:
        """Return the events that Redis has not taken, the oldest first; -1: all of them.

        Raises:
            StateFileError: they cannot be read.
        """
        return [event for row in self._rows(limit) if (event := _decoded(*row)) is not None]

    def _rows(self, limit: int) -> list[tuple[int, str]]:
        with self._lock, self._reporting("read"):
            return self._db.execute("SELECT seq, event FROM events ORDER BY seq LIMIT ?", (limit,)).fetchall()

    def start(self, redis_url: str, *, longest_wait: float = _LONGEST_WAIT) -> None:
        """Begin to deliver in a thread of its own, and go on until ``close``.

        Raises:
            InputError: the address is not one of Redis.
        """
        client = redis_client(redis_url)

        def note(attempt: RetryCallState) -> None:
            log.warning("cannot deliver events yet: %s", attempt.outcome and attempt.outcome.exception())

        attempts = Retrying(
            retry=retry_if_exception_type(Exception),  # whatever fails, events must leave one day
            wait=wait_random_exponential(multiplier=0.5, max=longest_wait),
            stop=stop_when_event_set(self._stop),
            sleep=sleep_using_event(self._stop),
            before_sleep=note,
        )

        def deliver() -> None:
            with client, contextlib.suppress(RetryError):  # RetryError: closed while Redis was away
                while not self._stop.is_set():
                    self._appended.clear()
                    sent = attempts(self._deliver_batch, lambda events: push_events(client, events))
                    if not sent and not self._stop.is_set():  # close() sets both, this one first
                        self._appended.wait()

        self._thread = threading.Thread(target=deliver, name="outbox", daemon=True)
        self._thread.start()

    def _deliver_batch(self, push: Callable[[list[tuple[str, dict[str, object]]]], None]) -> int:
        rows = self._rows(_BATCH)
        events = [event for row in rows if (event := _decoded(*row)) is not None]
        if events:
            push([(event.id, self._signer.seal(event)) for event in events])
        if rows:
            with self._transaction("tidy") as db:
                db.execute("DELETE FROM events WHERE seq <= ?", (rows[-1][0],))
        return len(rows)

    def close(self) -> None:
        """Stop delivering and close the file; what Redis has not taken stays in it."""
        self._stop.set()
        self._appended.set()
        if self._thread:
            self._thread.join()
        self._db.close()


def _decoded(seq: int, text: str) -> Event | None:
    """Return an event, or None for one that cannot be understood: it must not hold up all that come after it.

    A newer executor may have written it before the node went back to the slot of this one.
    """
    try:
        return Event.model_validate(json.loads(text) | {"seq": seq})
    except ValueError as error:
        log.error("event %d of the outbox cannot be understood and is left out: %s", seq, error)  # noqa: TRY400 - no bug
        return None
