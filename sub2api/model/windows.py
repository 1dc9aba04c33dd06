"""When a window of money begins and ends: computed from the moment, never reset.

Every edge is on a quarter of an hour UTC, the grain of the store's rollups: 5-hour blocks are
counted from a rounded moment, and every time zone's midnight is on a quarter (old local mean times
are not; they are rounded down).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

WindowKind = Literal["5h", "day", "week", "month"]
WINDOW_KINDS: tuple[WindowKind, ...] = ("5h", "day", "week", "month")
"""Each has its limit in `Limits`, named `cost_` and the kind."""

QUARTER = 900.0
"""Seconds in a quarter of an hour."""
_FIVE_HOURS = 5 * 3600.0
_FIRST_MONDAY = 1
"""The ordinal of 0001-01-01, a Monday."""


def period(kind: WindowKind, at: float, *, anchor: float, timezone: str) -> tuple[float, float]:
    """Return the window's start and end (exclusive) around `at`, seconds since 1970.

    `5h` are blocks of five hours counted from `anchor` (when the noun was made), rounded down to a
    quarter of an hour. `day`, `week` (from Monday) and `month` are those of `timezone`, an IANA
    name; they ignore `anchor`. Raises zoneinfo.ZoneInfoNotFoundError for an unknown name.
    """
    if kind == "5h":
        first = quarter_of(anchor)
        start = first + (at - first) // _FIVE_HOURS * _FIVE_HOURS
        return start, start + _FIVE_HOURS
    zone = zone_of(timezone)
    # Near a change of the clock a local date may begin twice, or not at all (where midnight or a
    # whole day is left out): the moments at which dates begin decide, not the date of `at`.
    number = _number(kind, datetime.fromtimestamp(at, zone).date())
    while _start(kind, number, zone) > at:
        number -= 1
    while (end := _start(kind, number + 1, zone)) <= at:
        number += 1
    return _start(kind, number, zone), end


def quarter_of(at: float) -> float:
    """Return the start of the quarter of an hour that `at` is in, both in seconds since 1970."""
    return at // QUARTER * QUARTER


def zone_of(name: str) -> tzinfo:
    """Return the time zone of an IANA name; UTC works on machines without time zone files."""
    return UTC if name == "UTC" else ZoneInfo(name)


def _number(kind: WindowKind, day: date) -> int:
    """Return which of its kind, counted from the year 1, the window is that `day` is in."""
    if kind == "month":
        return day.year * 12 + day.month - 1
    days = day.toordinal() - _FIRST_MONDAY
    return days // 7 if kind == "week" else days


def _start(kind: WindowKind, number: int, zone: tzinfo) -> float:
    """Return the first midnight of a window's first date (where it is skipped: the change)."""
    if kind == "month":
        year, month = divmod(number, 12)
        first = date(year, month + 1, 1)
    else:
        first = date.fromordinal(_FIRST_MONDAY + number * (7 if kind == "week" else 1))
    midnight = datetime(first.year, first.month, first.day, tzinfo=zone)
    return quarter_of(midnight.timestamp())
