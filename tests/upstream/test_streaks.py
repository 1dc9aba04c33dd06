"""Failures that count only when there are several."""

from __future__ import annotations

from sub2api.upstream.streaks import Streaks


def test_the_third_failure_within_a_minute_is_one_too_many() -> None:
    streaks = Streaks()
    assert [streaks.failed(1, at) for at in (0.0, 30.0, 60.0)] == [False, False, True]
    assert 1 not in streaks


def test_failures_further_apart_do_not_add_up() -> None:
    streaks = Streaks()
    assert [streaks.failed(1, at) for at in (0.0, 40.0, 80.0, 99.0)] == [False, False, False, True]


def test_a_success_ends_a_streak_and_keys_are_apart() -> None:
    streaks = Streaks()
    streaks.failed(1, 0.0)
    streaks.failed(1, 1.0)
    streaks.failed(2, 1.0)
    streaks.broken(1)
    assert not streaks.failed(1, 2.0)
    assert not streaks.failed(2, 2.0)
    assert streaks.failed(2, 3.0)


def test_a_threshold_of_one_counts_at_once() -> None:
    assert Streaks(1, 600.0).failed(1, 0.0)
