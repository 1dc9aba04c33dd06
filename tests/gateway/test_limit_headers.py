"""What a caller is told of its own limits."""

from __future__ import annotations

from sub2api.gateway.limit_headers import limit_headers
from sub2api.live.interfaces import Granted, Refused, Usage


def test_a_caller_without_limits_gets_no_headers() -> None:
    assert limit_headers(Granted(0)) == ()


def test_both_units_are_told_with_whole_seconds() -> None:
    told = dict(limit_headers(Granted(0, 0.0, Usage(60, 41, 17.2), Usage(10_000, 0, 59.0))))
    assert told == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"41",
        b"x-ratelimit-reset-requests": b"18s",
        b"x-ratelimit-limit-tokens": b"10000",
        b"x-ratelimit-remaining-tokens": b"0",
        b"x-ratelimit-reset-tokens": b"59s",
    }


def test_a_refusal_tells_too_and_nothing_is_below_zero() -> None:
    told = dict(limit_headers(Refused("tpm:key:1", 12.0, tokens=Usage(100, -40, 12.0))))
    assert told[b"x-ratelimit-remaining-tokens"] == b"0"
