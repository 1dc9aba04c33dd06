"""Model mapping: which models an account has, and what its upstream calls them."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.upstream.model_mapping import mapped_model, parse_mapping


@pytest.mark.parametrize(
    ("mapping", "model", "expected"),
    [
        ({}, "any", "any"),
        ({"a": "b"}, "a", "b"),
        ({"a": "b"}, "c", None),
        ({"claude-*": "x"}, "claude-sonnet-4-5", "x"),
        ({"claude-*": "x", "claude-sonnet-*": "y"}, "claude-sonnet-4-5", "y"),
        ({"claude-sonnet-4-5": "z", "claude-*": "x"}, "claude-sonnet-4-5", "z"),
        ({"*": "all"}, "whatever", "all"),
        ({"a*b": "x"}, "aXb", None),
        ({"claude-*": "anthropic/claude-*"}, "claude-3", "anthropic/claude-3"),
    ],
)
def test_the_most_specific_entry_decides(
    mapping: dict[str, str], model: str, expected: str | None
) -> None:
    assert mapped_model(mapping, model) == expected


def test_pairs_are_parsed() -> None:
    assert parse_mapping(["a=b", "c", "d-*=e-*"]) == {"a": "b", "c": "c", "d-*": "e-*"}


@pytest.mark.parametrize("pair", ["", "=x", "a*b=c", "a=b*", "a*=b*c"])
def test_what_is_no_pair_is_refused(pair: str) -> None:
    with pytest.raises(MistakeError):
        parse_mapping([pair])
