"""Tokens with which an operator's own command is known to a running gateway."""

from __future__ import annotations

import jwt
import pytest

from sub2api.clock import Clock
from sub2api.identity.operator_tokens import OperatorTokens
from sub2api.store.sealing import Sealer
from tests.fakes.clocks import StandingClock


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock(1_790_000_000.0)


def tokens(clock: Clock, key: bytes = b"k" * 32) -> OperatorTokens:
    return OperatorTokens(Sealer(key), clock)


def test_a_token_is_good_for_a_minute(clock: StandingClock) -> None:
    token = tokens(clock).new()
    assert tokens(clock).is_good(token)
    clock.at += 59
    assert tokens(clock).is_good(token)
    clock.at += 1
    assert not tokens(clock).is_good(token)


def test_a_token_from_the_future_is_refused(clock: StandingClock) -> None:
    token = tokens(clock).new()
    clock.at -= 61
    assert not tokens(clock).is_good(token)


def test_another_installations_token_is_refused(clock: StandingClock) -> None:
    assert not tokens(clock).is_good(tokens(clock, b"x" * 32).new())


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "someone-else", "iat": 1_790_000_000, "exp": 1_790_000_060},
        {"aud": "sub2api-operator", "exp": 1_790_000_060},
        {"aud": "sub2api-operator", "iat": 1_790_000_000},
        {"iat": 1_790_000_000, "exp": 1_790_000_060},
        {"aud": "sub2api-operator", "iat": "then", "exp": "soon"},
    ],
)
def test_a_token_that_says_something_else_is_refused(
    clock: StandingClock, claims: dict[str, object]
) -> None:
    key = Sealer(b"k" * 32).derived("operator token")
    assert not tokens(clock).is_good(jwt.encode(claims, key, algorithm="HS256"))


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é"])
def test_what_is_no_token_is_refused(clock: StandingClock, text: str) -> None:
    assert not tokens(clock).is_good(text)


def test_an_unsigned_token_is_refused(clock: StandingClock) -> None:
    claims = {"aud": "sub2api-operator", "iat": 1_790_000_000, "exp": 1_790_000_060}
    assert not tokens(clock).is_good(jwt.encode(claims, "", algorithm="none"))
