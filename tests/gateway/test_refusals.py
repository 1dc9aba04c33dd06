"""What a call is told that did not come in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sub2api.gateway import refusals
from sub2api.gateway.entries import Asked
from sub2api.live.interfaces import Refused
from sub2api.upstream.rests import Rest
from tests.fakes.fleet import MODEL, PLATFORMS, Fleet, account


@pytest.mark.parametrize(
    ("full", "is_callers"),
    [
        ("rpm:key:1", True), ("tpm:user:1", True), ("cost:key:1:day:0", True),
        ("rpm:account:1", False), ("cost:account:1:vendor:0", False), ("key:1", False),
        ("account:1", False), ("sessions:1", False), ("probe:1", False),
    ],
)  # fmt: skip
def test_only_windows_and_budgets_of_the_caller_are_not_worth_waiting_for(
    full: str, is_callers: bool
) -> None:
    assert refusals.is_limit_of_caller(Refused(full)) is is_callers


@pytest.mark.parametrize(
    ("full", "status", "words", "again"),
    [
        ("rpm:key:1", 429, "requests per minute of this API key", True),
        ("tpm:user:1", 429, "tokens per minute of your account", True),
        ("cost:key:1:day:0", 402, "The cost limit per day of this API key", False),
        ("cost:user:1:5h:0", 402, "The cost limit per 5 hours of your account", False),
        ("cost:key:1:quota:0", 402, "The quota of this API key is used up.", False),
    ],
)
def test_each_limit_is_named(full: str, status: int, words: str, again: bool) -> None:
    error = refusals.limit(Refused(full, 12.5))
    assert (error.status, error.retry_after, error.retry_helps) == (status, 12.5, again)
    assert words in str(error)


def test_whose_places_are_taken_is_said_but_no_account_is_named() -> None:
    assert "this API key's concurrent calls" in str(refusals.busy(Refused("key:3")))
    assert "your concurrent calls" in str(refusals.busy(Refused("user:1", queue_full=True)))
    of_account = refusals.busy(Refused("account:77", 3.0))
    assert "77" not in str(of_account)
    assert (of_account.status, of_account.retry_after) == (429, 3.0)
    assert refusals.busy(Refused("probe:77")).retry_after == 5.0


class Ward:
    """Rests by account id; counts how often it was asked."""

    def __init__(self, **rests: Rest) -> None:
        self.rests = {int(name[1:]): rest for name, rest in rests.items()}
        self.asked = 0

    def rest_of(self, of: Any, model: str, now: float) -> Rest | None:
        self.asked += 1
        return self.rests.get(of.id)


def told(fleet: Fleet, ward: Ward, model: str = MODEL) -> Any:
    parts: Any = SimpleNamespace(catalogue=fleet.catalogue, clock=fleet.clock, health=ward)
    return refusals.nobody(parts, Asked("c", fleet.caller, PLATFORMS, model, 0))


def rest(fleet: Fleet, seconds: float, cause: str, *, out_of_use: bool = False) -> Rest:
    return Rest(fleet.clock.now() + seconds, cause, "", "", out_of_use)


def test_a_key_without_accounts_is_told_how_to_add_one() -> None:
    error = told(Fleet([]), Ward())
    assert error.status == 400
    assert "sub2api account add --platform anthropic" in str(error)


def test_disabled_accounts_and_those_that_wait_for_an_operator_are_503() -> None:
    assert told(Fleet([account(1, status="disabled")]), Ward()).status == 503
    fleet = Fleet([account(1)])
    error = told(fleet, Ward(_1=rest(fleet, 600, "credential", out_of_use=True)))
    assert (error.status, error.retry_helps) == (503, False)


def test_a_model_nobody_has_is_404() -> None:
    error = told(Fleet([account(1, model_mapping={"x": "x"})]), Ward())
    assert (error.status, error.param) == (404, "model")


def test_the_earliest_end_of_a_rest_is_told_not_that_of_one_out_of_use() -> None:
    fleet = Fleet([account(1), account(2), account(3)])
    ward = Ward(
        _1=rest(fleet, 300, "burst"), _2=rest(fleet, 90, "window_5h"),
        _3=rest(fleet, 10, "credential", out_of_use=True),
    )  # fmt: skip
    error = told(fleet, ward)
    assert (error.status, error.retry_after) == (429, 90)


def test_only_overloads_are_told_as_an_overload() -> None:
    fleet = Fleet([account(1), account(2)])
    rests = {"_1": rest(fleet, 30, "overloaded"), "_2": rest(fleet, 5, "unreachable")}
    assert told(fleet, Ward(**rests)).status == 529
    fleet = Fleet([account(1), account(2)])
    assert told(fleet, Ward(**(rests | {"_2": rest(fleet, 5, "burst")}))).status == 429


def test_a_storm_on_an_empty_pool_looks_at_it_once_a_second() -> None:
    fleet = Fleet([account(1), account(2)])
    ward = Ward(_1=rest(fleet, 300, "burst"), _2=rest(fleet, 90, "burst"))
    for _ in range(100):
        assert told(fleet, ward).retry_after == 90
    assert ward.asked == 2
    fleet.clock.at += 1.0
    assert told(fleet, ward).retry_after == 89
    assert ward.asked == 4
