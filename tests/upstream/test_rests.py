"""How long rests last (decision 0012)."""

from __future__ import annotations

import pytest

from sub2api.model.health import Cooldown
from sub2api.upstream.rests import SHORT, Trouble, ended, following

NOW = 1764028800.0
KEY = (1, "")


def lengths(cause: str, times: int) -> list[float]:
    """Return the lengths of that many rests in a row, each failure right after the last rest."""
    found, last, now = [], None, NOW
    for _ in range(times):
        last = following(last, KEY, Trouble(cause), now)
        found.append(last.until - now)
        now = last.until
    return found


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        ("burst", [5, 10, 20, 40, 80, 160, 300, 300]),
        ("overloaded", [60, 120, 240, 480, 600, 600]),
        ("unreachable", [5, 10, 20, 40, 60, 60]),
        ("window_5h", [300, 600, 1200, 2400, 3600, 3600]),
        ("window_7d", [300, 600]),
        ("quota", [300, 600, 1200, 2400, 3600]),
    ],
)
def test_a_rest_grows_with_every_failure_in_a_row(cause: str, expected: list[float]) -> None:
    """Pain 20, T43: an overload begins with a minute here, and ends with ten."""
    assert lengths(cause, len(expected)) == expected


def test_growth_has_an_end_however_many_failures_there_were() -> None:
    assert SHORT.after(100_000) == 60.0


def test_a_named_reset_is_believed() -> None:
    row = following(None, KEY, Trouble("window_7d", NOW + 384607), NOW)
    assert (row.until, row.failures) == (NOW + 384607, 1)


@pytest.mark.parametrize("until", [NOW, NOW - 5, 3.0])
def test_a_reset_that_is_over_leaves_it_to_the_schedule(until: float) -> None:
    assert following(None, KEY, Trouble("burst", until), NOW).until == NOW + 5


def test_calls_that_fail_together_are_one_failure() -> None:
    first = following(None, KEY, Trouble("burst"), NOW)
    assert following(first, KEY, Trouble("burst"), NOW + 1) is first


def test_a_rest_is_extended_within_its_cause_and_never_shortened() -> None:
    first = following(None, KEY, Trouble("burst", NOW + 60), NOW)
    assert following(first, KEY, Trouble("burst", NOW + 30), NOW + 1) is first
    longer = following(first, KEY, Trouble("burst", NOW + 90), NOW + 1)
    assert (longer.until, longer.failures) == (NOW + 90, 1)
    assert following(first, KEY, Trouble("unreachable"), NOW + 1) is first
    assert following(first, KEY, Trouble("window_5h"), NOW + 1).cause == "window_5h"


def test_another_cause_begins_its_own_schedule() -> None:
    grown = Cooldown(1, "", "burst", NOW - 100, NOW - 1, failures=6)
    assert following(grown, KEY, Trouble("overloaded"), NOW).failures == 1
    assert following(grown, KEY, Trouble("burst"), NOW).failures == 7


def test_the_end_of_a_rest_is_newer_than_the_rest_and_has_no_failures() -> None:
    row = ended(Cooldown(1, "m", "burst", NOW - 100, NOW - 1, failures=6), NOW)
    assert (row.since, row.until, row.failures, row.model) == (NOW, NOW - 1, 0, "m")
