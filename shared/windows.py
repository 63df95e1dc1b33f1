"""When an update may switch: one simple window type. Times of day are local to an IANA zone.

DST: a day on which the opening time does not exist opens at the instant the clock jumps; a day on which it
exists twice opens at the first. The length is measured in elapsed time, so a window never grows or shrinks.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
#: Windows are looked at this many days ahead; every non-empty weekly window opens within 8.
_HORIZON_DAYS = 11
#: What is open for longer has no gap in a whole week, even in one that a time zone has lengthened by a day.
_ENDLESS = timedelta(days=9)


@lru_cache(maxsize=1024)  # a controller asks about the same few days for each of its nodes, over and over
def _opening(start: str, zone: str, day: date) -> datetime:
    """Return when a window opens on ``day``, in UTC."""
    local = datetime.combine(day, time.fromisoformat(start), tzinfo=ZoneInfo(zone))
    resolved = local.astimezone(UTC)
    if resolved.astimezone(local.tzinfo).replace(tzinfo=None) == local.replace(tzinfo=None):
        return resolved
    # The local time is skipped. With fold=0 Python uses the offset from before the gap, with fold=1 the
    # one from after it; the jump itself is where the two offsets meet.
    before, after = local.utcoffset(), local.replace(fold=1).utcoffset()
    assert before is not None  # noqa: S101 - an aware datetime has an offset
    assert after is not None  # noqa: S101
    low, high = resolved - (after - before), resolved
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(local.tzinfo).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


class MaintenanceWindow(BaseModel):
    """A window that opens at ``start`` on each of ``days`` and stays open for ``minutes``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    start: str = "00:00"  #: HH:MM, local time in ``zone``
    minutes: int = Field(default=24 * 60, gt=0, le=7 * 24 * 60)  #: length, in elapsed minutes
    days: tuple[str, ...] = _DAYS  #: mon ... sun; the day on which the window opens
    zone: str = "UTC"  #: IANA time zone name

    @field_validator("start")
    @classmethod
    def _clock(cls, value: str) -> str:
        if not _CLOCK.fullmatch(value):
            raise ValueError(f"window start {value!r} must be HH:MM between 00:00 and 23:59")
        return value

    @field_validator("days")
    @classmethod
    def _days(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [day for day in value if day not in _DAYS]
        if wrong or not value:
            raise ValueError(f"window days {list(value)!r} must be some of {', '.join(_DAYS)}")
        return tuple(day for day in _DAYS if day in value)

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"time zone {value!r} is not known; use an IANA name like Europe/Berlin") from error
        return value

    def _openings(self, around: datetime) -> list[datetime]:
        today = around.astimezone(ZoneInfo(self.zone)).date()
        days = (today + timedelta(days=n) for n in range(-8, _HORIZON_DAYS))
        return [_opening(self.start, self.zone, day) for day in days if _DAYS[day.weekday()] in self.days]

    def contains(self, instant: datetime) -> bool:
        """Whether the window is open at ``instant`` (aware)."""
        length = timedelta(minutes=self.minutes)
        return any(opening <= instant < opening + length for opening in self._openings(instant))

    def closes_at(self, instant: datetime) -> datetime | None:
        """Return when the window that is open at ``instant`` closes; None if none is open, or it never closes.

        Windows that touch or overlap are one: what opens before the last one has closed keeps it open.
        """
        length = timedelta(minutes=self.minutes)
        closes: datetime | None = None
        for opening in self._openings(instant):
            if opening <= instant < opening + length or (closes is not None and opening <= closes):
                closes = opening + length
        return None if closes is None or closes - instant > _ENDLESS else closes

    def next_opening(self, instant: datetime) -> datetime:
        """Return the first opening at or after ``instant``, in UTC."""
        return min(o for o in self._openings(instant) if o >= instant)

    def fits(self, instant: datetime, duration: timedelta) -> bool:
        """Whether work of ``duration`` begun at ``instant`` ends before the window closes."""
        closes = self.closes_at(instant)
        return self.contains(instant) and (closes is None or instant + duration <= closes)
