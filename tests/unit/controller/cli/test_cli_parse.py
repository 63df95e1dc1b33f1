"""The short forms that people type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.cli import parse
from shared.errors import InputError
from shared.windows import MaintenanceWindow

_NOW = datetime(2026, 1, 27, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172800), ("0", 0)]
)
def test_a_duration_takes_its_unit(text: str, seconds: float) -> None:
    assert parse.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5s", "1h30m", "ten", "1e3", "inf", "nan"])
def test_a_duration_of_another_form_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse.parse_duration(text)

    assert repr(text) in caught.value.message
    assert "10m" in caught.value.cure


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        pytest.param("2026-01-27T02:00:00Z", datetime(2026, 1, 27, 2, tzinfo=UTC), id="utc"),
        pytest.param("2026-01-27T02:00+01:00", datetime(2026, 1, 27, 1, tzinfo=UTC), id="offset"),
        pytest.param("+30m", _NOW + timedelta(minutes=30), id="from now"),
    ],
)
def test_an_instant_is_absolute_or_counted_from_now(text: str, instant: datetime) -> None:
    assert parse.parse_instant(text, _NOW) == instant


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("2026-01-27T02:00:00", "no time zone"),
        ("tomorrow", "tomorrow"),
        ("+soon", "soon"),
        ("+99999999999d", "too large"),
    ],
)
def test_an_instant_that_could_mean_two_things_is_refused(text: str, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        parse.parse_instant(text, _NOW)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        pytest.param(
            "sat,sun 02:00 +120m Europe/Berlin",
            MaintenanceWindow(start="02:00", minutes=120, days=("sat", "sun"), zone="Europe/Berlin"),
            id="all parts",
        ),
        pytest.param("02:00 +2h", MaintenanceWindow(start="02:00", minutes=120), id="every day in UTC"),
        pytest.param(
            "fri-mon 22:30 +1h",
            MaintenanceWindow(start="22:30", minutes=60, days=("fri", "sat", "sun", "mon")),
            id="range over the weekend",
        ),
        pytest.param(
            "mon-wed,sun 01:00 +1h UTC",
            MaintenanceWindow(start="01:00", minutes=60, days=("mon", "tue", "wed", "sun")),
            id="range and day",
        ),
    ],
)
def test_a_window_is_read_from_one_line(text: str, window: MaintenanceWindow) -> None:
    assert parse.parse_window(text) == window


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("02:00", "'02:00'", id="no length"),
        pytest.param("someday 02:00 +1h", "someday", id="day"),
        pytest.param("25:00 +1h", "25:00", id="time"),
        pytest.param("02:00 +0m", "minutes", id="empty"),
        pytest.param("02:00 +1h Mars/Base", "Mars/Base", id="zone"),
        pytest.param("02:00 +soon", "soon", id="length"),
    ],
)
def test_a_window_that_cannot_be_read_is_refused_by_its_wrong_part(text: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        parse.parse_window(text)

    assert named in caught.value.message
    assert caught.value.cure


def test_waves_are_counts_and_percentages() -> None:
    waves = parse.parse_waves("1, 25%,100%")

    assert waves == [1, 25.0, 100.0]
    assert [type(wave) for wave in waves] == [int, float, float]


@pytest.mark.parametrize("text", ["", "1,,2", "ten", "5 percent", "-1", "1.5"])
def test_waves_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="cannot read waves"):
        parse.parse_waves(text)


def test_labels_are_split_at_the_first_equals_sign() -> None:
    assert parse.parse_labels(("site=berlin", "note=a=b", "empty=")) == {"site": "berlin", "note": "a=b", "empty": ""}


@pytest.mark.parametrize("text", ["site", "=berlin"])
def test_a_label_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"cannot read label '{text}'"):
        parse.parse_labels((text,))


def test_a_value_may_be_named_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "events.pub"
    file.write_text("c2VjcmV0\n")

    assert parse.text_or_file(str(file)) == "c2VjcmV0"
    assert parse.text_or_file("c2VjcmV0") == "c2VjcmV0"


def test_a_file_that_holds_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "events.pub"
    file.write_bytes(b"\xff\xfe")

    with pytest.raises(InputError, match="cannot read"):
        parse.text_or_file(str(file))
