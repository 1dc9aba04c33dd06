"""Waits and moments, as vendors write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sub2api.platforms import resets


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12.345s", 12.345), ("1m30s", 90.0), ("6h0m0s", 21600.0), ("120ms", 0.12), ("1d", 86400.0),
        ("7m12.5s", 432.5), ("", None), ("soon", None), ("12", None), ("1m 30s", None),
    ],
)  # fmt: skip
def test_durations_are_read(text: str, seconds: float | None) -> None:
    assert resets.duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 1m2.5s. Visit", 62.5), ("Please retry in 9.1s.", 9.1),
        ("try again in 3 seconds", 3.0), ("Try again in 2 hours 5 minutes", 7500.0),
        ("try again in 250ms", 0.25), ("please try again later", None), ("retry in a moment", None),
        ("Please retry after 30 seconds.", 30.0),
    ],
)  # fmt: skip
def test_waits_are_read_from_sentences(message: str, seconds: float | None) -> None:
    assert resets.said_in(message) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(("wait", "ok"), [(0, False), (-1, False), (7, True), (604800, True),
                                          (700000, False)])  # fmt: skip
def test_a_wait_is_believed_up_to_seven_days(wait: float, ok: bool) -> None:
    assert resets.believed(wait) == (wait if ok else None)
    assert resets.moment(1000 + wait, 1000) == (1000 + wait if ok else None)


@pytest.mark.parametrize(
    ("now", "midnight"),
    [
        ("2025-11-25T00:00:00+00:00", "2025-11-25T08:00:00+00:00"),  # winter: UTC-8
        ("2025-11-25T08:00:00+00:00", "2025-11-26T08:00:00+00:00"),
        ("2025-07-01T06:59:59+00:00", "2025-07-01T07:00:00+00:00"),  # summer: UTC-7
        ("2025-11-02T08:00:00+00:00", "2025-11-03T08:00:00+00:00"),  # the day of 25 hours
    ],
)
def test_the_next_pacific_midnight_is_where_the_clocks_say(now: str, midnight: str) -> None:
    """T42."""
    found = resets.pacific_midnight(at(now))
    assert datetime.fromtimestamp(found, UTC) == datetime.fromisoformat(midnight)


@pytest.mark.parametrize("given", [None, True, "x", "nan", "inf", [], "1" * 400])
def test_what_is_no_number_is_none(given: object) -> None:
    assert resets.number(given) is None
    assert resets.number("12") == resets.number(12) == 12.0


def test_dates_are_utc_unless_they_say_otherwise() -> None:
    assert resets.date("2025-11-25T00:00:40Z") == at("2025-11-25T00:00:40+00:00")
    assert resets.date("2025-11-25T00:00:40") == at("2025-11-25T00:00:40+00:00")
    assert resets.date("later") is None
