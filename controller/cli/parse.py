"""Short forms that people type, turned into values. What they mean is checked by the models, here only their form."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from shared import wire
from shared.errors import InputError
from shared.windows import MaintenanceWindow

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_WINDOW = re.compile(r"(?:(?P<days>[a-z,-]+)\s+)?(?P<start>\d\d:\d\d)\s+\+(?P<length>\S+)(?:\s+(?P<zone>[A-Za-z]\S*))?")
_WAVE = re.compile(r"(\d+)|(\d+(?:\.\d+)?)%")


def parse_duration(text: str) -> float:
    """Return the seconds in ``90``, ``90s``, ``10m``, ``1.5h`` or ``2d``.

    Raises:
        InputError: it has another form.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise InputError(f"cannot read duration {text!r}", cure="write it like 90s, 10m, 2h or 1d")
    return float(found[1]) * _UNITS[found[2]]


def parse_instant(text: str, now: datetime) -> datetime:
    """Return the instant in ``2026-01-27T02:00:00Z`` (any offset), or ``+30m`` from ``now``.

    Raises:
        InputError: it has another form, or no offset.
    """
    cure = "write it like 2026-01-27T02:00:00Z, 2026-01-27T02:00+01:00 or +30m"
    try:
        if text.startswith("+"):
            return now + timedelta(seconds=parse_duration(text[1:]))
        instant = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise InputError(f"cannot read instant {text!r}: {error}", cure=cure) from error
    if instant.tzinfo is None:
        raise InputError(f"cannot read instant {text!r}: it says no time zone", cure=cure)
    return instant.astimezone(UTC)


def parse_window(text: str) -> MaintenanceWindow:
    """Return the window in ``sat,sun 02:00 +120m Europe/Berlin``; days and zone may be left out, days be a range.

    Raises:
        InputError: it has another form, or a part that is not valid.
    """
    found = _WINDOW.fullmatch(text.strip())
    if found is None:
        raise InputError(
            f"cannot read window {text!r}",
            cure='write it like "sat,sun 02:00 +120m Europe/Berlin" or "02:00 +2h"; without a zone it is UTC',
        )
    seconds = parse_duration(found["length"])
    values: dict[str, object] = {"start": found["start"], "minutes": int(seconds // 60)}
    if found["days"]:
        values["days"] = _days(found["days"])
    if found["zone"]:
        values["zone"] = found["zone"]
    try:
        return MaintenanceWindow.model_validate(values)
    except ValidationError as error:
        raise wire.invalid(error, "window") from error


def _days(text: str) -> tuple[str, ...]:
    """Spell out ranges; ``fri-mon`` goes over the weekend. Unknown names are left for the model to refuse."""
    days: list[str] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if dash and first in _DAYS and last in _DAYS:
            start, end = _DAYS.index(first), _DAYS.index(last)
            days += [_DAYS[(start + step) % 7] for step in range((end - start) % 7 + 1)]
        else:
            days.append(part)
    return tuple(days)


def parse_waves(text: str) -> list[int | float]:
    """Return the waves in ``1,25%,100%``: an int for a count of nodes, a float for a percentage.

    Raises:
        InputError: a part has another form.
    """
    waves: list[int | float] = []
    for part in text.split(","):
        found = _WAVE.fullmatch(part.strip())
        if found is None:
            raise InputError(
                f"cannot read waves {text!r}: {part.strip()!r} is no wave", cure="write them like 1,25%,100%"
            )
        waves.append(int(found[1]) if found[1] else float(found[2]))
    return waves


def parse_labels(texts: tuple[str, ...]) -> dict[str, str]:
    """Return the labels in ``key=value`` texts.

    Raises:
        InputError: a text has no "=" or no key.
    """
    labels: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"cannot read label {text!r}", cure="write it like site=berlin")
        labels[key] = value
    return labels


def text_or_file(value: str) -> str:
    """Return ``value``, or the content of the file that it names."""
    path = Path(value).expanduser()
    try:
        return path.read_text(encoding="utf-8").strip() if path.is_file() else value
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read {value}: {error}", cure="name a readable text file, or the value itself"
        ) from error
