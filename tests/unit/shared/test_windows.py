"""When a maintenance window is open: rules that hold in every zone and year, and days that are known to be hard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.windows import MaintenanceWindow

patient = settings(deadline=None)  # a busy machine is no failure

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Zones with all kinds of habits: no DST, DST in both halves of the globe, by half an hour, at midnight, far from UTC.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "America/Asuncion",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Pacific/Marquesas",
    "Africa/Casablanca",
)
SECOND = timedelta(seconds=1)

windows = st.builds(
    MaintenanceWindow,
    start=st.times().map(lambda time: f"{time:%H:%M}"),
    minutes=st.integers(1, 7 * 24 * 60),
    days=st.sets(st.sampled_from(DAYS), min_size=1).map(tuple),
    zone=st.sampled_from(ZONES),
)
instants = st.datetimes(datetime(2005, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - drawn as aware


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@patient
@given(windows, instants)
def test_an_opening_is_open_and_no_earlier_one_was_missed(window: MaintenanceWindow, instant: datetime) -> None:
    opening = window.next_opening(instant)

    assert opening >= instant
    assert window.contains(opening)
    assert window.contains(instant) or not window.contains(opening - SECOND) or opening == instant
    assert window.next_opening(opening) == opening


@patient
@given(windows, instants, st.floats(0, 1))
def test_between_two_answers_nothing_changes(window: MaintenanceWindow, instant: datetime, part: float) -> None:
    is_open = window.contains(instant)
    end = (window.closes_at(instant) or instant + timedelta(days=9)) if is_open else window.next_opening(instant)

    between = instant + (end - instant) * part

    assert between == end or window.contains(between) == is_open


@patient
@given(windows, instants)
def test_a_closing_is_closed_and_the_second_before_it_open(window: MaintenanceWindow, instant: datetime) -> None:
    begin = instant if window.contains(instant) else window.next_opening(instant)

    closes = window.closes_at(begin)

    if closes is None:  # it never closes: not in all the days that follow
        assert all(window.contains(begin + timedelta(hours=hours)) for hours in range(9 * 24))
    else:
        assert begin < closes
        assert not window.contains(closes)
        assert window.contains(closes - SECOND)


@patient
@given(windows, instants)
def test_a_window_opens_at_its_local_time_on_its_days(window: MaintenanceWindow, instant: datetime) -> None:
    opening = window.next_opening(instant)

    local = opening.astimezone(ZoneInfo(window.zone))
    asked = local.replace(hour=int(window.start[:2]), minute=int(window.start[3:]), fold=0)
    if asked.astimezone(UTC).astimezone(local.tzinfo) == asked and asked == local:
        assert DAYS[local.weekday()] in window.days
    else:  # the local time was skipped: it opens where the clock jumped
        before = (opening - SECOND).astimezone(ZoneInfo(window.zone))
        assert before.utcoffset() != local.utcoffset()


@patient
@given(windows, instants, st.integers(0, 8 * 24 * 60))
def test_work_fits_if_the_window_stays_open_all_the_while(
    window: MaintenanceWindow, instant: datetime, minutes: int
) -> None:
    duration = timedelta(minutes=minutes)

    fits = window.fits(instant, duration)

    samples = [instant + duration * n / 40 for n in range(40)]
    if fits:
        assert all(window.contains(sample) for sample in samples)
    else:
        closes = window.closes_at(instant)
        assert closes is None or closes < instant + duration
        assert closes is not None or not window.contains(instant)


@patient
@given(instants, st.sampled_from(ZONES), st.integers(1, 24 * 60 - 1))
def test_every_days_window_is_open_at_most_its_length(instant: datetime, zone: str, minutes: int) -> None:
    window = MaintenanceWindow(minutes=min(minutes, 22 * 60), zone=zone)

    closes = window.closes_at(window.next_opening(instant))

    assert closes == window.next_opening(instant) + timedelta(minutes=window.minutes)


@pytest.mark.parametrize(
    ("start", "zone", "instant", "opening"),
    [
        ("02:30", "Europe/Berlin", "2026-03-29T00:00", "2026-03-29T01:00"),
        ("02:00", "Europe/Berlin", "2026-03-29T00:00", "2026-03-29T01:00"),
        ("03:00", "Europe/Berlin", "2026-03-29T00:00", "2026-03-29T01:00"),
        ("02:30", "Europe/Berlin", "2026-10-25T00:00", "2026-10-25T00:30"),
        ("02:30", "America/New_York", "2026-03-08T06:00", "2026-03-08T07:00"),
        ("01:30", "America/New_York", "2026-11-01T04:00", "2026-11-01T05:30"),
        ("00:00", "America/Havana", "2026-03-08T04:00", "2026-03-08T05:00"),
        ("02:15", "Australia/Lord_Howe", "2026-10-03T12:00", "2026-10-03T15:30"),
    ],
    ids=[
        "skipped, Berlin",
        "first skipped minute",
        "first minute after the gap",
        "twice, Berlin: the first",
        "skipped, New York",
        "twice, New York: the first",
        "midnight skipped, Havana",
        "half an hour skipped, Lord Howe",
    ],
)
def test_openings_on_days_on_which_the_clock_jumps(start: str, zone: str, instant: str, opening: str) -> None:
    window = MaintenanceWindow(start=start, minutes=30, zone=zone)

    assert window.next_opening(utc(instant)) == utc(opening)


def test_a_day_that_a_zone_skipped_opens_where_the_calendar_jumped() -> None:
    # Samoa went from Thursday, 29 December 2011 straight to Saturday the 31st.
    window = MaintenanceWindow(start="12:00", minutes=60, days=("fri",), zone="Pacific/Apia")

    assert window.next_opening(utc("2011-12-29T12:00")) == utc("2011-12-30T10:00")


@pytest.mark.parametrize(
    ("instant", "hours"), [("2026-03-28T22:00", 4), ("2026-10-24T21:00", 4)], ids=["23-hour day", "25-hour day"]
)
def test_length_is_elapsed_time_across_a_jump(instant: str, hours: int) -> None:
    window = MaintenanceWindow(start="23:00", minutes=hours * 60, zone="Europe/Berlin")

    opening = window.next_opening(utc(instant))

    assert opening == utc(instant)
    assert window.closes_at(opening) == opening + timedelta(hours=hours)


def test_windows_that_touch_are_one() -> None:
    weekend = MaintenanceWindow(days=("sat", "sun"))
    saturday_night = utc("2026-01-31T23:50")

    assert weekend.closes_at(saturday_night) == utc("2026-02-02T00:00")
    assert weekend.fits(saturday_night, timedelta(hours=3))
    assert not weekend.fits(saturday_night, timedelta(hours=25))


def test_windows_that_overlap_are_one() -> None:
    window = MaintenanceWindow(minutes=36 * 60, days=("mon", "tue", "thu"))

    assert window.closes_at(utc("2026-02-02T01:00")) == utc("2026-02-04T12:00")


def test_a_window_that_is_always_open_never_closes_and_fits_everything() -> None:
    always = MaintenanceWindow()
    late = utc("2026-01-31T23:59")

    assert always.contains(late)
    assert always.closes_at(late) is None
    assert always.fits(late, timedelta(days=100))


def test_a_closed_window_fits_nothing() -> None:
    window = MaintenanceWindow(start="02:00", minutes=60)

    assert window.closes_at(utc("2026-01-31T12:00")) is None
    assert not window.fits(utc("2026-01-31T12:00"), timedelta(0))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("start", "24:00", "must be HH:MM"),
        ("start", "2:00", "must be HH:MM"),
        ("start", "02:60", "must be HH:MM"),
        ("minutes", 0, "greater than 0"),
        ("minutes", 7 * 24 * 60 + 1, "less than or equal to 10080"),
        ("days", (), "must be some of mon, tue"),
        ("days", ("monday",), "must be some of mon, tue"),
        ("zone", "", "use an IANA name"),
        ("zone", "Europe/Atlantis", "use an IANA name"),
        ("zone", "../../etc/passwd", "use an IANA name"),
        ("zone", "/etc/localtime", "use an IANA name"),
        ("zone", "Europe", "use an IANA name"),
    ],
)
def test_what_is_no_window_is_refused_in_words(field: str, value: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MaintenanceWindow.model_validate({field: value})


def test_days_are_kept_once_and_in_the_weeks_order() -> None:
    assert MaintenanceWindow(days=("sun", "mon", "sun")).days == ("mon", "sun")
