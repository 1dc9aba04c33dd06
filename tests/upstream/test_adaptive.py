"""Concurrency that finds out what an account bears."""

from __future__ import annotations

from typing import Any

from sub2api.model.accounts import Account
from sub2api.upstream.adaptive import Adaptive


def account(**fields: Any) -> Account:
    return Account(**{"id": 1, "name": "a", "platform": "openai", "adaptive_concurrency": True,
                      "concurrency": 8, **fields})  # fmt: skip


def test_it_starts_as_configured_or_with_20() -> None:
    adaptive = Adaptive()
    assert adaptive.of(account()) == 8
    assert adaptive.of(account(concurrency=0)) == 20
    assert adaptive.of(account(concurrency=0, adaptive_concurrency=False)) == 0


def test_a_burst_halves_it_once_in_five_seconds_and_never_below_one() -> None:
    adaptive, it = Adaptive(), account()
    assert [adaptive.burst(it, now) for now in (0.0, 0.1, 4.9, 5.0)] == [True, False, False, True]
    assert adaptive.of(it) == 2
    for now in (10.0, 20.0, 30.0):
        adaptive.burst(it, now)
    assert adaptive.of(it) == 1


def test_as_many_successes_as_its_value_add_one() -> None:
    adaptive, it = Adaptive(), account()
    adaptive.burst(it, 0.0)
    assert [adaptive.succeeded(it) for _ in range(4)] == [False, False, False, True]
    assert adaptive.of(it) == 5
    assert [adaptive.succeeded(it) for _ in range(5)][-1]
    assert adaptive.of(it) == 6


def test_it_never_grows_above_what_is_configured() -> None:
    adaptive, it = Adaptive(), account()
    adaptive.burst(it, 0.0)
    for _ in range(200):
        adaptive.succeeded(it)
    assert adaptive.of(it) == 8
    assert adaptive.of(account(concurrency=3)) == 3


def test_an_account_that_is_not_adaptive_is_left_as_configured() -> None:
    adaptive, it = Adaptive(), account(adaptive_concurrency=False)
    assert not adaptive.burst(it, 0.0)
    assert adaptive.of(it) == 8
