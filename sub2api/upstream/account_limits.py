"""The rules of what an account may carry, and of what makes it rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sub2api.errors import MistakeError
from sub2api.model.health import RestRule
from sub2api.model.limits import Limits, check_amount, check_limits

LONGEST_MINUTES = 43_200
"""Thirty days."""
_MOST_RULES = 100


def check_account_limits(fields: Mapping[str, Any]) -> None:
    """Check those of an account's fields that are given. Raises MistakeError."""
    check_limits(fields.get("limits", Limits()))
    for name in ("max_sessions", "window_cost_limit", "window_cost_reserve"):
        check_amount(name, int(fields.get(name, 0)))
    check_minutes("a session's idle time", int(fields.get("session_idle_minutes", 1)))
    check_statuses(fields.get("custom_error_codes") or ())
    rules = fields.get("rest_rules", ())
    if len(rules) > _MOST_RULES:
        raise MistakeError(f"an account has at most {_MOST_RULES} rest rules")
    for rule in rules:
        _check_rest_rule(rule)


def check_statuses(statuses: Iterable[int]) -> None:
    """Raise MistakeError for what is no HTTP status."""
    for status in statuses:
        if not 100 <= status <= 599:
            raise MistakeError(f"{status} is no HTTP status: they are between 100 and 599")


def check_keywords(keywords: Iterable[str]) -> None:
    """Raise MistakeError for a blank keyword: it would be found in everything."""
    if any(not keyword.strip() for keyword in keywords):
        raise MistakeError("a keyword must not be blank: it would be found in every answer")


def check_minutes(what: str, minutes: int) -> None:
    """Raise MistakeError for a time that is no time, or longer than thirty days."""
    if not 1 <= minutes <= LONGEST_MINUTES:
        raise MistakeError(f"{what} is between 1 and {LONGEST_MINUTES} minutes (30 days)")


def _check_rest_rule(rule: RestRule) -> None:
    check_statuses([rule.status])
    if not rule.keywords:
        raise MistakeError("a rest rule needs a keyword to look for in the answer")
    check_keywords(rule.keywords)
    check_minutes("the rest of a rule", rule.minutes)
