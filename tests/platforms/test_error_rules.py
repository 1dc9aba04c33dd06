"""The operator's rules on what clients are told (T79)."""

from __future__ import annotations

from typing import Any

import pytest

from sub2api.model.health import ErrorRule
from sub2api.platforms.error_rules import told

BODY = b'{"error":{"message":"Prompt TOO long: key=abc"}}'


def rule(**fields: Any) -> ErrorRule:
    return ErrorRule(**{"id": 1, "name": "r", "statuses": (400,), "message": "told", **fields})


def test_the_lowest_priority_that_fits_wins_and_then_the_older_rule() -> None:
    """T79."""
    rules = [
        rule(id=3, priority=5, message="late"),
        rule(id=2, priority=1, message="younger"),
        rule(id=1, priority=1, message="first"),
        rule(id=4, priority=0, statuses=(500,), message="does not fit"),
    ]
    found = told(rules, "openai", 400, BODY)
    assert found is not None
    assert (str(found), found.status) == ("first", 400)


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"platforms": ("gemini",)}, False),
        ({"platforms": ("gemini", "openai")}, True),
        ({"statuses": (500, 400)}, True),
        ({"statuses": (500,)}, False),
        ({"statuses": (500,), "keywords": ("too LONG",)}, True),
        ({"statuses": (500,), "keywords": ("too LONG",), "match": "all"}, False),
        ({"keywords": ("nothing of this", "too long"), "match": "all"}, True),
        ({"statuses": (), "keywords": ("too long",), "match": "all"}, True),
        ({"statuses": (), "keywords": ("  ",)}, False),
        ({"statuses": (), "keywords": ()}, False),
        ({"statuses": (), "keywords": (), "match": "all"}, False),
    ],
)
def test_a_rule_fits_by_its_conditions(fields: dict[str, Any], fits: bool) -> None:
    """T79: any or all, keywords in any case, platforms; a rule without conditions never fits."""
    assert (told([rule(**fields)], "openai", 400, BODY) is not None) == fits


def test_status_and_message_of_the_upstream_pass_where_the_rule_has_none() -> None:
    found = told([rule(message=None, statuses=(418,))], "openai", 418, BODY)
    assert found is not None
    assert (str(found), found.status) == ("Prompt TOO long: key=***", 418)
    other = told([rule(status=422, message=None)], "openai", 400, b"<html>")
    assert other is not None
    assert (str(other), other.status) == ("The upstream refused the request.", 422)


def test_only_the_first_8_kib_of_a_body_are_searched() -> None:
    words = rule(statuses=(), keywords=("needle",))
    assert told([words], "openai", 400, b" " * 8000 + b"needle") is not None
    assert told([words], "openai", 400, b" " * 8192 + b"needle") is None
