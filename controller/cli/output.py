"""How answers reach stdout: messages as JSON, tables, instants.

JSON shapes are those of the answer's message in ``shared/proto``, field by field under its own name: every field is
always there; instants are RFC 3339 in UTC; what is absent is null. Fields are only ever added.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any, TypeVar

import click
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from controller.cli.common import Common

M = TypeVar("M", bound=Message)


def show(common: Common, answer: M, text: Callable[[M], str]) -> None:
    """Print an answer: as JSON, or as what ``text`` makes of it."""
    click.echo(as_json(answer) if common.json else text(answer))


def as_json(message: Message) -> str:
    """Return a message as JSON text."""
    return _dump(plain(message))


def show_document(common: Common, document: object, text: str) -> None:
    """Print something that is not an answer of a service: as JSON, or as ``text``."""
    click.echo(_dump(document) if common.json else text)


def _dump(document: object) -> str:
    # Where stdout is not UTF-8, letters are escaped: a replacement character would change what scripts read.
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(document, indent=2, ensure_ascii=not utf8)


def plain(message: Message) -> dict[str, Any]:
    """Return a message as JSON-ready values, every field included."""
    return {field.name: _value(message, field) for field in message.DESCRIPTOR.fields}


def _value(message: Message, field: Any) -> Any:  # noqa: ANN401 - a field's descriptor, in one of two implementations; JSON
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(sorted(value.items()))
    if field.is_repeated:
        return [plain(item) if isinstance(item, Message) else item for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    if isinstance(value, Timestamp):
        return instant(value)
    return plain(value) if isinstance(value, Message) else value


def instant(stamp: Timestamp) -> str:
    """Return an instant as RFC 3339 in UTC, to the second."""
    return stamp.ToDatetime(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def instant_or_dash(message: Message, field: str) -> str:
    """Return the instant in ``field``, or "-" if it is absent."""
    return instant(getattr(message, field)) if message.HasField(field) else "-"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table: plain columns when nobody looks at it, lines and colour on a terminal."""
    if sys.stdout.isatty():
        try:
            return _rich_table(headers, rows)
        except ModuleNotFoundError:  # rich comes with the extra "cli"; the bare executor has no need of it
            pass
    cells = [list(headers), *([cell or "-" for cell in row] for row in rows)]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(headers))]
    lines = (
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)) for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _rich_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.console import Console  # noqa: PLC0415 - 60 ms that only a terminal needs
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    drawn = Table(*headers)
    for row in rows:
        drawn.add_row(*(escape(cell or "-") for cell in row))
    console = Console()
    with console.capture() as captured:
        console.print(drawn)
    return captured.get().rstrip("\n")
