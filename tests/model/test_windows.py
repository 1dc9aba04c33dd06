"""Windows of money: they tile time, in every zone, over changes of the clock and month ends."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub2api.model.limits import Limits
from sub2api.model.windows import QUARTER, WINDOW_KINDS, WindowKind, period, quarter_of, zone_of

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # its clock changed at midnight until 2019
    "America/Havana",  # midnight comes twice in autumn
    "America/St_Johns",  # changed at 00:01 until 2011: a date begins, ends and begins again
    "Africa/Cairo",
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # changes by half an hour
    "Pacific/Apia",  # had no 30 December 2011
    "Pacific/Chatham",  # +12:45
)
HOURS = 3600.0
moments = st.floats(0, 4_000_000_000)
kinds = st.sampled_from(WINDOW_KINDS)
zones = st.sampled_from(ZONES)


def utc(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type]


def local(zone: str, *parts: int) -> float:
    return datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp()  # type: ignore[arg-type,misc]


@given(kinds, moments, moments, zones)
def test_periods_contain_their_moment_and_tile_time_on_quarters(
    kind: WindowKind, at: float, anchor: float, zone: str
) -> None:
    start, end = period(kind, at, anchor=anchor, timezone=zone)
    assert start <= at < end
    assert start % QUARTER == end % QUARTER == 0
    assert period(kind, end, anchor=anchor, timezone=zone)[0] == end
    assert period(kind, start - 0.001, anchor=anchor, timezone=zone)[1] == start
    assert period(kind, start, anchor=anchor, timezone=zone) == (start, end)


@given(moments, st.sampled_from(["Europe/Berlin", "America/New_York", "America/Sao_Paulo"]))
def test_a_day_has_23_24_or_25_hours_and_begins_a_date(at: float, zone: str) -> None:
    start, end = period("day", at, anchor=0, timezone=zone)
    assert (end - start) / HOURS in {23, 24, 25}
    before = datetime.fromtimestamp(start - 1, ZoneInfo(zone)).date()
    assert before < datetime.fromtimestamp(start, ZoneInfo(zone)).date()


@given(moments, zones)
def test_weeks_and_months_are_made_of_whole_days(at: float, zone: str) -> None:
    day = period("day", at, anchor=0, timezone=zone)
    for kind in ("week", "month"):
        start, end = period(kind, at, anchor=0, timezone=zone)  # type: ignore[arg-type]
        assert start <= day[0]
        assert day[1] <= end
        assert period("day", start, anchor=0, timezone=zone)[0] == start


@pytest.mark.parametrize(
    ("zone", "date", "hours"),
    [
        ("Europe/Berlin", (2026, 3, 29), 23),
        ("Europe/Berlin", (2026, 10, 25), 25),
        ("America/New_York", (2026, 3, 8), 23),
        ("America/New_York", (2026, 11, 1), 25),
        ("America/Sao_Paulo", (2018, 11, 4), 23),
        ("America/Havana", (2025, 11, 2), 25),
        ("Australia/Lord_Howe", (2026, 4, 5), 24.5),
        ("Asia/Kathmandu", (2026, 6, 1), 24),
    ],
)
def test_a_day_is_as_long_as_its_clock_says(
    zone: str, date: tuple[int, int, int], hours: float
) -> None:
    start, end = period("day", local(zone, *date, 12), anchor=0, timezone=zone)
    assert (end - start) / HOURS == hours


def test_a_date_that_a_zone_left_out_has_no_day_of_its_own() -> None:
    before = period(
        "day", local("Pacific/Apia", 2011, 12, 29, 12), anchor=0, timezone="Pacific/Apia"
    )
    after = period(
        "day", local("Pacific/Apia", 2011, 12, 31, 12), anchor=0, timezone="Pacific/Apia"
    )
    assert before[1] == after[0]
    assert after[1] - after[0] == 24 * HOURS


def test_a_month_ends_where_the_next_one_begins() -> None:
    zone = "Europe/Berlin"
    last = local(zone, 2028, 2, 29, 23, 59, 59)
    assert period("month", last, anchor=0, timezone=zone) == (
        local(zone, 2028, 2, 1),
        local(zone, 2028, 3, 1),
    )
    december = period("month", local(zone, 2026, 12, 31, 12), anchor=0, timezone=zone)
    assert december == (local(zone, 2026, 12, 1), local(zone, 2027, 1, 1))


def test_a_week_begins_on_monday() -> None:
    sunday = utc(2026, 11, 29, 23, 59)
    assert period("week", sunday, anchor=0, timezone="UTC") == (
        utc(2026, 11, 23),
        utc(2026, 11, 30),
    )


def test_five_hours_are_counted_from_the_anchor_rounded_down_to_a_quarter() -> None:
    made = utc(2026, 11, 25, 10, 22, 41)
    for at, hour in ((made, 10), (utc(2026, 11, 25, 15, 14, 59), 10), (made + 5 * HOURS, 15)):
        start, end = period("5h", at, anchor=made, timezone="Europe/Berlin")
        assert (start, end) == (utc(2026, 11, 25, hour, 15), utc(2026, 11, 25, hour + 5, 15))
    before = period("5h", made - 3600, anchor=made, timezone="UTC")
    assert before[1] == utc(2026, 11, 25, 10, 15)


def test_every_kind_has_its_limit() -> None:
    assert all(hasattr(Limits(), f"cost_{kind}") for kind in WINDOW_KINDS)


def test_an_unknown_zone_is_refused_and_utc_needs_no_files() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        period("day", 0, anchor=0, timezone="Nowhere/Atlantis")
    assert zone_of("UTC") is UTC
    assert quarter_of(1799.9) == 900
