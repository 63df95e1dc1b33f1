"""Long lists in parts: a statement takes only so many parameters (SQLite 32,766, PostgreSQL 65,535)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

#: Values in one IN list.
CHUNK = 1000


def chunks(values: Collection[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Yield ``values`` in lists of at most ``size``; nothing for an empty collection."""
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part
