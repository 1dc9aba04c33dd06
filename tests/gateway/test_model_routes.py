"""Model routes: a model's own name wins, then the longest pattern."""

from __future__ import annotations

import pytest

from sub2api.gateway.model_routes import route_of
from sub2api.model.accounts import Group

ROUTES = {
    "*": (9,),
    "claude-*": (1,),
    "claude-opus-*": (2, 3),
    "claude-opus-4": (4,),
    "claude-opus-4*": (5,),
    "a*b": (6,),
}


@pytest.mark.parametrize(
    ("model", "accounts"),
    [
        ("claude-opus-4", {4}),
        ("claude-opus-4-5", {5}),
        ("claude-opus-3", {2, 3}),
        ("claude-haiku", {1}),
        ("gpt-5", {9}),
        ("a*b", {6}),
        ("axb", {9}),
    ],
)
def test_the_most_exact_route_counts(model: str, accounts: set[int]) -> None:
    group = Group(id=1, name="g", platform="anthropic", model_routes=ROUTES)
    assert route_of(group, model) == accounts


def test_no_group_no_routes_and_no_fitting_route_leave_all_accounts() -> None:
    assert route_of(None, "claude-opus-4") is None
    assert route_of(Group(id=1, name="g", platform="anthropic"), "claude-opus-4") is None
    group = Group(id=1, name="g", platform="anthropic", model_routes={"claude-*": (1,)})
    assert route_of(group, "gpt-5") is None
