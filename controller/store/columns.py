"""Column types: what Python sees is aware, frozen and checked; what the database holds is plain.

Enums are stored by value, never by ordinal; instants as UTC; models as JSON, so that a new field with a default
needs no migration.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import JSON, DateTime, Dialect, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

#: JSON on SQLite, JSONB on PostgreSQL.
JsonColumn = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Instant(TypeDecorator[datetime]):
    """An aware datetime; UTC on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn an aware instant into UTC.

        Raises:
            ValueError: it is naive, so nobody knows which instant is meant.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"cannot store naive datetime {value!r}: give it a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the instant in UTC; SQLite hands it out naive."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Name(TypeDecorator[E], Generic[E]):
    """A string enum, stored by its value."""

    impl = String(32)
    cache_ok = True

    def __init__(self, kind: type[E]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the member's value."""
        return None if value is None else self.kind(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> E | None:  # noqa: ARG002
        """Return the member.

        Raises:
            ValueError: a newer release has written a name that this one does not know.
        """
        return None if value is None else self.kind(value)


class Document(TypeDecorator[T], Generic[T]):
    """A pydantic model, dataclass or plain collection as JSON; it checks itself on the way out."""

    impl = JsonColumn
    cache_ok = True

    def __init__(self, kind: type[T]) -> None:
        super().__init__()
        self.kind = kind
        self._adapter = TypeAdapter(kind)

    def process_bind_param(self, value: T | None, dialect: Dialect) -> Any:  # noqa: ARG002, ANN401 - JSON is Any
        """Return the JSON-ready content."""
        return None if value is None else self._adapter.dump_python(value, mode="json", exclude_none=True)

    def process_result_value(self, value: Any, dialect: Dialect) -> T | None:  # noqa: ARG002, ANN401
        """Return the value.

        Raises:
            ValidationError: the row was not written by the store.
        """
        return None if value is None else self._adapter.validate_python(value)


def render_type(kind: str, column_type: object, _context: object) -> str | Literal[False]:
    """Spell our types plainly in a generated migration, which must not change when our code does."""
    if kind != "type":
        return False
    if isinstance(column_type, Instant):
        return "sa.DateTime(timezone=True)"
    if isinstance(column_type, Name):
        return "sa.String(length=32)"
    if isinstance(column_type, Document):
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False
