"""What operators say about one account's refusals (T35-T38)."""

from __future__ import annotations

from typing import Any

from sub2api.errors import Fault, Next, UpstreamError
from sub2api.model.accounts import Account
from sub2api.model.health import RestRule
from sub2api.platforms import BY_NAME
from sub2api.platforms.account_rules import with_account_rules

NOW = 1764028800.0
BODY = b'{"error":{"type":"overloaded","message":"Team PLAN is exhausted"}}'


def ruled(status: int, body: bytes = BODY, **fields: Any) -> UpstreamError:
    account = Account(id=1, name="a", platform="anthropic", **fields)
    error = BY_NAME["anthropic"].judge(status, [], body, NOW)
    return with_account_rules(error, account, status, body, NOW)


def rules(*words: str, status: int = 429, minutes: int = 30) -> tuple[RestRule, ...]:
    return (RestRule(status=status, keywords=words, minutes=minutes, description="Team plan"),)


def test_without_rules_the_vendors_table_stands() -> None:
    """T35: a 401 puts the account out of use."""
    error = ruled(401)
    assert error.harm is not None
    assert error.harm.kind == "error"
    assert error.harm.detail.startswith("Authentication failed (401)")


def test_a_status_that_is_not_among_the_custom_codes_leaves_the_account_alone() -> None:
    """T36."""
    error = ruled(429, custom_error_codes=(500,))
    assert error.harm is None
    assert (error.then, error.shown.status) == (Next.OTHER_ACCOUNT, 429)
    assert ruled(401, custom_error_codes=()).harm is None
    assert ruled(500, custom_error_codes=()).harm is None


def test_a_custom_code_puts_the_account_out_of_use() -> None:
    """T36."""
    error = ruled(500, custom_error_codes=(500,))
    assert (error.fault, error.then) == (Fault.ACCOUNT, Next.OTHER_ACCOUNT)
    assert error.harm is not None
    assert (error.harm.kind, error.harm.cause) == ("error", "rule")
    assert error.harm.detail == "Custom error code 500: Team PLAN is exhausted"


def test_custom_codes_go_before_rest_rules() -> None:
    """T37."""
    assert ruled(429, custom_error_codes=(500,), rest_rules=rules("team plan")).harm is None
    error = ruled(429, custom_error_codes=(429,), rest_rules=rules("team plan"))
    assert error.harm is not None
    assert error.harm.kind == "error"


def test_a_rest_rule_rests_the_account_for_its_minutes() -> None:
    error = ruled(429, rest_rules=rules("no such word", "team plan"))
    assert error.harm is not None
    assert (error.harm.kind, error.harm.cause) == ("rest", "rule")
    assert error.harm.until == NOW + 1800
    assert error.harm.detail == "Team plan (429): Team PLAN is exhausted"


def test_a_rest_rule_whose_keyword_is_absent_does_nothing() -> None:
    """T38."""
    error = ruled(429, rest_rules=rules("other words", " "))
    assert error.harm is not None
    assert error.harm.cause == "burst"


def test_a_rest_rule_of_another_status_or_for_a_401_does_nothing() -> None:
    other = ruled(429, rest_rules=rules("team plan", status=503))
    assert other.harm is not None
    assert other.harm.cause == "burst"
    credential = ruled(401, rest_rules=rules("team plan", status=401))
    assert credential.harm is not None
    assert credential.harm.cause == "credential"


def test_a_bad_request_that_a_rule_calls_the_accounts_is_not_shown_to_the_client() -> None:
    error = ruled(400, rest_rules=rules("team plan", status=400))
    assert (error.fault, error.then, error.answer) == (Fault.ACCOUNT, Next.OTHER_ACCOUNT, None)
    assert (error.shown.status, "plan" in str(error.shown)) == (502, False)


def test_only_the_first_64_kib_are_searched() -> None:
    near, far = b" " * 60_000 + b"team plan", b" " * 66_000 + b"team plan"
    near_error = ruled(503, near, rest_rules=rules("team plan", status=503))
    assert near_error.harm is not None
    assert ruled(503, far, rest_rules=rules("team plan", status=503)).harm is None
