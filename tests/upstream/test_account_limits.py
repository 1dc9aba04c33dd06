"""What an account may carry, and what makes it rest."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.model.health import RestRule
from sub2api.model.limits import Limits
from sub2api.upstream.account_limits import LONGEST_MINUTES, check_account_limits


def test_sane_limits_pass() -> None:
    check_account_limits({})
    check_account_limits(
        {
            "limits": Limits(rpm=1),
            "max_sessions": 3,
            "session_idle_minutes": LONGEST_MINUTES,
            "custom_error_codes": (100, 599),
            "rest_rules": (RestRule(403, ("credit",), 1),),
        }
    )
    check_account_limits({"custom_error_codes": None})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"limits": Limits(tpm=-1)}, "tpm must be 0"),
        ({"max_sessions": -1}, "max_sessions must be 0"),
        ({"window_cost_limit": -1}, "window_cost_limit must be 0"),
        ({"window_cost_reserve": -1}, "window_cost_reserve must be 0"),
        ({"session_idle_minutes": 0}, "between 1 and 43200 minutes"),
        ({"session_idle_minutes": LONGEST_MINUTES + 1}, "between 1 and 43200 minutes"),
        ({"custom_error_codes": (500, 99)}, "99 is no HTTP status"),
        ({"custom_error_codes": (600,)}, "600 is no HTTP status"),
        ({"rest_rules": (RestRule(42, ("a",), 1),)}, "42 is no HTTP status"),
        ({"rest_rules": (RestRule(429, (), 1),)}, "needs a keyword"),
        ({"rest_rules": (RestRule(429, ("a", " "), 1),)}, "must not be blank"),
        ({"rest_rules": (RestRule(429, ("a",), 0),)}, "between 1 and 43200"),
        ({"rest_rules": (RestRule(429, ("a",), 43_201),)}, "between 1 and 43200"),
        ({"rest_rules": (RestRule(429, ("a",), 1),) * 101}, "at most 100"),
    ],
)
def test_a_mistake_is_refused_with_a_sentence(fields: dict[str, object], said: str) -> None:
    with pytest.raises(MistakeError, match=said):
        check_account_limits(fields)
