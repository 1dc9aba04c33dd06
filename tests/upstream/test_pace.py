"""Slow accounts, beside what is usual for their model."""

from __future__ import annotations

import random
import statistics

from sub2api.upstream.pace import Pace, _Median


def usual(pace: Pace, seconds: float = 1.0, times: int = 20) -> Pace:
    for _ in range(times):
        pace.first_frame(1, "anthropic", "m", seconds)
    return pace


def test_three_late_first_frames_in_a_row_make_an_account_slow() -> None:
    pace = usual(Pace())
    assert [pace.first_frame(2, "anthropic", "m", 3.1) for _ in range(4)] == [
        False, False, True, False,
    ]  # fmt: skip
    assert pace.is_slow(2, "m")
    assert not pace.is_slow(1, "m")
    assert not pace.is_slow(2, "other")


def test_one_that_is_within_it_ends_that() -> None:
    pace = usual(Pace())
    for _ in range(3):
        pace.first_frame(2, "anthropic", "m", 9.0)
    assert pace.first_frame(2, "anthropic", "m", 1.0)
    assert not pace.is_slow(2, "m")
    pace.first_frame(2, "anthropic", "m", 9.0)
    pace.first_frame(2, "anthropic", "m", 9.0)
    assert not pace.is_slow(2, "m")


def test_a_first_frame_within_two_seconds_is_never_late() -> None:
    pace = usual(Pace(), seconds=0.1)
    assert not any(pace.first_frame(2, "anthropic", "m", 1.9) for _ in range(5))
    assert not pace.is_slow(2, "m")


def test_nobody_is_slow_before_there_is_something_to_compare_with() -> None:
    pace = usual(Pace(), times=5)
    for _ in range(4):
        pace.first_frame(2, "anthropic", "m", 50.0)
    assert not pace.is_slow(2, "m")


def test_the_median_is_that_of_the_last_101() -> None:
    chance = random.Random(7)
    median, seen = _Median(), []
    for _ in range(500):
        seen.append(chance.choice([1.0, 2.0, chance.random() * 9]))
        median.add(seen[-1])
    assert median.value == statistics.median_high(seen[-101:])


def test_what_is_kept_does_not_grow_with_clients_model_names() -> None:
    pace = Pace()
    for number in range(5000):
        pace.first_frame(1, "openai", f"m{number}", 1.0)
    assert len(pace._medians) <= 1024
