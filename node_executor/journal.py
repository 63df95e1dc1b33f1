"""``update-schedule.json``: every schedule and every known order of this node (requirement S3).

Rules:
- One file, replaced whole; ``sequence`` grows with each write. A change is on disk before the call returns.
- A file that cannot be understood is set aside, never overwritten and never guessed at: the node then starts with an
  empty journal, does nothing by itself, and says so (``trouble``).
- History is bounded; what is not final is never dropped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol, TypeVar

from pydantic import Field, ValidationError

from node_executor.records import KnownOrder, Record
from shared.errors import ConflictError, DiskFullError, StateFileError
from shared.messages import Model

#: Version of the file's schema. Additions keep it; what an older executor would misread raises it.
SCHEMA = 1
#: Final schedules that are kept.
MAX_SCHEDULES = 50
#: Orders that are kept. An older one that comes again has a lower sequence number than the highest and is refused.
MAX_ORDERS = 200
#: What ``Journal.next_id`` gives, and can count on from; "" before the first.
_GIVEN_ID = r"^(sched-[0-9]{8}-[0-9]{3,9})?$"

S = TypeVar("S", bound="StateFile")


class Storage(Protocol):
    """Where one state file lives; ``shared.durable.DurableFile`` on a real node."""

    def read(self) -> bytes | None:
        """Return the content, or None. Raises StateFileError."""
        ...

    def write(self, content: bytes) -> None:
        """Replace the content durably. Raises StateFileError or DiskFullError."""
        ...

    def set_aside(self) -> str:
        """Keep the content under another name, and return that. Raises StateFileError."""
        ...


class StateFile(Model):
    """What both state files begin with."""

    schema_version: int = SCHEMA
    sequence: int = 0  #: grows by one with each write


class JournalFile(StateFile):
    """The content of ``update-schedule.json``."""

    schedules: tuple[Record, ...] = ()  #: in order of acceptance
    orders: tuple[KnownOrder, ...] = ()  #: in order of arrival
    highest_seq: int = 0  #: of all orders taken
    last_id: str = Field(default="", pattern=_GIVEN_ID)  #: the schedule id given last, for the day's counter


def load(storage: Storage, model: type[S]) -> tuple[S, str]:
    """Return the content of a state file, and what was wrong with it ("" if nothing).

    Raises:
        StateFileError: the disk does not answer; nothing can be said about the content.
    """
    raw = storage.read()
    if raw is None:
        return model(), ""
    try:
        content = model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return model(), f"cannot understand {storage}: {where} {first['msg']}; kept as {storage.set_aside()}"
    if content.schema_version > SCHEMA:
        return model(), (
            f"cannot understand {storage}: schema {content.schema_version}, known here is {SCHEMA}; "
            f"kept as {storage.set_aside()}"
        )
    return content, ""


def save(storage: Storage, content: S) -> S:
    """Write ``content`` with the next sequence number, and return it as written.

    Raises:
        StateFileError: not written, for want of room or otherwise; the old content still stands.
    """
    written = content.model_copy(update={"sequence": content.sequence + 1})
    try:
        storage.write(written.model_dump_json(indent=1).encode())
    except DiskFullError as error:  # to the runner a full state folder is not a full slot
        raise StateFileError(error.message, cure=error.cure) from error
    return written


class Journal:
    """The schedules and orders of one node. Not locked: its users hold the runner's lock."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._file, self.trouble = load(storage, JournalFile)

    @property
    def records(self) -> tuple[Record, ...]:
        """All records, oldest first."""
        return self._file.schedules

    @property
    def highest_seq(self) -> int:
        """The highest sequence number of any order taken."""
        return self._file.highest_seq

    def find(self, name: str) -> Record | None:
        """Return the record with this schedule id or order id, or None."""
        return next((r for r in reversed(self.records) if name and name in (r.id, r.order_id)), None)

    def find_key(self, key: str) -> Record | None:
        """Return the record made with this idempotency key, or None."""
        return next((r for r in reversed(self.records) if key and r.key == key), None)

    def order(self, order_id: str) -> KnownOrder | None:
        """Return what is known of an order, or None if it never came or is forgotten."""
        return next((o for o in reversed(self._file.orders) if o.id == order_id), None)

    def orders_for(self, record_id: str) -> tuple[KnownOrder, ...]:
        """Return the orders that made or mean a record."""
        return tuple(o for o in self._file.orders if o.schedule_id == record_id)

    def next_id(self, now: datetime) -> str:
        """Return the id for a schedule made now: ``sched-YYYYMMDD-NNN``, UTC date and the day's count."""
        day = now.astimezone(UTC).strftime("%Y%m%d")
        last_day, _, count = self._file.last_id.removeprefix("sched-").partition("-")
        # A clock that went back must not give an id twice: the later day goes on counting.
        if last_day and last_day >= day:
            return f"sched-{last_day}-{int(count) + 1:03d}"
        return f"sched-{day}-001"

    def write(self, *records: Record, order: KnownOrder | None = None) -> None:
        """Make new or changed records, and an order with them, durable in one write.

        Raises:
            StateFileError: not written; nothing has changed.
        """
        changed = {record.id: record for record in records}
        known = {record.id for record in self.records}
        schedules = [changed.get(record.id, record) for record in self.records]
        added = [record for record in records if record.id not in known]
        orders = list(self._file.orders)
        if order is not None:
            orders = [o for o in orders if o.id != order.id] + [order]
        last_id = max([self._file.last_id, *(r.id for r in added)], key=_counted)
        self._file = save(
            self._storage,
            self._file.model_copy(
                update={
                    "schedules": _bounded([*schedules, *added]),
                    "orders": tuple(orders[-MAX_ORDERS:]),
                    "highest_seq": max(self.highest_seq, order.seq if order else 0),
                    "last_id": last_id,
                }
            ),
        )

    def current(self, record_id: str) -> Record:
        """Return the present value of a record.

        Raises:
            ConflictError: there is none.
        """
        record = self.find(record_id)
        if record is None:
            raise ConflictError(f"cannot go on with {record_id}: the journal does not hold it")
        return record


def _counted(schedule_id: str) -> tuple[str, int]:
    """Return what orders two ids of any day, also past 999 a day."""
    day, _, count = schedule_id.removeprefix("sched-").partition("-")
    return day, int(count or 0)


def _bounded(records: list[Record]) -> tuple[Record, ...]:
    surplus = sum(record.settled for record in records) - MAX_SCHEDULES
    kept = []
    for record in records:
        if record.settled and surplus > 0:
            surplus -= 1
        else:
            kept.append(record)
    return tuple(kept)
