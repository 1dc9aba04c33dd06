"""Attempts that failed: error events and broken bytes."""

from __future__ import annotations

from typing import Any

import pytest

from sub2api.errors import Fault, Next
from sub2api.gateway.failures import broken, error_event

NOW = 1764028800.0


@pytest.mark.parametrize(
    ("received", "fault", "harm"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, Fault.PROVIDER, "overloaded"),
        ({"type": "rate_limit_error", "message": "slow down"}, Fault.ACCOUNT, "burst"),
        ({"type": "authentication_error", "message": "invalid x-api-key"}, Fault.ACCOUNT,
         "credential"),
        ({"type": "permission_error", "message": "not now"}, Fault.PROVIDER, None),
        ({"type": "invalid_request_error", "message": "bad"}, Fault.CALLER, None),
        ({"type": "not_found_error", "message": "model: x"}, Fault.CALLER, None),
        ({"type": "api_error", "message": "oops"}, Fault.PROVIDER, None),
        ({"type": "server_error", "code": "rate_limit_exceeded",
          "message": "Please try again in 3s."}, Fault.ACCOUNT, "burst"),
        ({"code": "insufficient_quota", "message": "m"}, Fault.ACCOUNT, "quota"),
        ({"code": "server_is_overloaded", "message": "m"}, Fault.PROVIDER, None),
        ({"code": "context_length_exceeded", "message": "m"}, Fault.CALLER, None),
        ({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m"}, Fault.ACCOUNT, "burst"),
        ({"code": 503, "status": "UNAVAILABLE", "message": "m"}, Fault.PROVIDER, None),
        ({"code": 400, "status": "INVALID_ARGUMENT", "message": "m"}, Fault.CALLER, None),
        ({"type": "nothing_known", "message": "m"}, Fault.PROVIDER, None),
        ({}, Fault.PROVIDER, None),
    ],
)  # fmt: skip
def test_an_error_event_is_read_by_its_vendors_table(
    received: dict[str, Any], fault: Fault, harm: str | None
) -> None:
    error = error_event(received, now=NOW)
    assert error.fault is fault
    assert (error.harm.cause if error.harm else None) == harm
    assert error.then is (Next.GIVE_UP if fault is Fault.CALLER else Next.OTHER_ACCOUNT)
    assert (error.cause, error.answer) == ("error_event", None)
    assert error.shown.status == {Fault.CALLER: 400, Fault.PROVIDER: 502, Fault.ACCOUNT: (
        429 if harm in {"burst", "quota"} else 502)}[fault]  # fmt: skip


def test_only_a_callers_own_fault_is_told_in_the_vendors_words() -> None:
    told = error_event({"type": "invalid_request_error", "message": "prompt is too long"})
    hidden = error_event({"type": "overloaded_error", "message": "account 7 is overloaded"})
    assert str(told.shown) == "prompt is too long"
    assert "account" not in str(hidden.shown)


def test_waits_in_an_error_event_count_from_when_it_came() -> None:
    error = error_event(
        {"code": "rate_limit_exceeded", "message": "try again in 3s"}, "openai", NOW
    )
    assert error.harm is not None
    assert error.harm.until == NOW + 3


@pytest.mark.parametrize("cause", ["idle_timeout", "first_byte_timeout"])
def test_silence_is_a_stall(cause: str) -> None:
    """Pain 26."""
    error = broken(cause)
    assert error.harm is not None
    assert (error.harm.cause, error.shown.status) == ("stalled", 504)


@pytest.mark.parametrize("cause", ["reset", "truncated", "connect_refused", "not_json"])
def test_broken_bytes_are_the_providers_and_harm_nobody(cause: str) -> None:
    error = broken(cause)
    assert (error.fault, error.harm, error.then) == (Fault.PROVIDER, None, Next.OTHER_ACCOUNT)
