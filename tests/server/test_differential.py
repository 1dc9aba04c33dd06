"""The express lane and Hypercorn decide alike about the same bytes, but for what is listed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.server.corpus import CASES
from tests.server.differences import LOOSER, OTHER, STRICTER
from tests.server.lanes import Outcome, lane, outcomes

Both = dict[str, tuple[Outcome, Outcome]]
"""What became of each case in the express lane, and with Hypercorn."""
KINDS = {"stricter": STRICTER, "looser": LOOSER, "other": OTHER}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Send the whole corpus both ways."""
    return asyncio.run(_both(tmp_path_factory.mktemp("lanes")))


async def _both(directory: Path) -> Both:
    async with (
        lane(directory / "express", express=True) as (express, ours),
        lane(directory / "hypercorn", express=False) as (hypercorn, theirs),
    ):
        first = await outcomes(express, CASES)
        second = await outcomes(hypercorn, CASES)
    for echo in (ours, theirs):
        assert echo.failures == []
        assert echo.bodies.held == 0
    return {name: (first[name], second[name]) for name in CASES}


def difference(express: Outcome, hypercorn: Outcome) -> str:
    """Name the kind of a difference, "" for none. A request counts as refused by its first item."""
    if express == hypercorn:
        return ""
    refused = (express[0] == "refused", hypercorn[0] == "refused")
    return {(True, False): "stricter", (False, True): "looser"}.get(refused, "other")


def test_the_lanes_differ_only_where_it_is_listed(both: Both) -> None:
    listed = {
        name: kind for kind, table in KINDS.items() for names in table.values() for name in names
    }
    found = {name: kind for name, pair in both.items() if (kind := difference(*pair))}
    unlisted = {
        name: (kind, *both[name]) for name, kind in found.items() if listed.get(name) != kind
    }
    assert unlisted == {}
    assert [name for name in listed if name not in found] == []


def test_every_difference_is_listed_once() -> None:
    names = [name for table in KINDS.values() for names in table.values() for name in names]
    assert len(set(names)) == len(names)
    assert set(names) <= set(CASES)


def test_the_corpus_says_something(both: Both) -> None:
    assert len(CASES) >= 500
    accepted = [name for name, (express, _) in both.items() if isinstance(express[0], tuple)]
    refused = [name for name, (express, _) in both.items() if express[0] == "refused"]
    assert len(accepted) >= 150
    assert len(refused) >= 300
    assert all(
        "next" in both[name][0] for name in accepted if name.startswith(("value", "name", "path"))
    )


def test_nothing_hidden_is_ever_served_by_the_express_lane(both: Both) -> None:
    """What follows a case whose end is disputed is never taken for a request."""
    disputed = [name for kind in (STRICTER,) for names in kind.values() for name in names]
    for name in disputed:
        assert both[name][0] == ("refused",), name
