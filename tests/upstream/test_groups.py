"""Groups."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.model.accounts import Group
from sub2api.model.limits import Limits
from tests.fakes.workshop import Workshop


async def test_a_group_is_made_changed_and_removed(workshop: Workshop) -> None:
    await workshop.groups.add(Group(id=0, name="g", platform="gemini", rate_multiplier="0.850"))
    found = await workshop.groups.find("g")
    assert found.rate_multiplier == "0.85"
    changed = await workshop.groups.change("g", {"rate_multiplier": "0", "disconnect": "drain"})
    assert (changed.rate_multiplier, changed.disconnect) == ("0", "drain")
    await workshop.groups.remove("g")
    assert await workshop.groups.everything() == []


@pytest.mark.parametrize("multiplier", ["-1", "NaN", "Infinity", "1e9", "cheap", ""])
async def test_a_multiplier_is_a_sane_number(workshop: Workshop, multiplier: str) -> None:
    with pytest.raises(MistakeError, match="multiplier"):
        await workshop.groups.add(
            Group(id=0, name="g", platform="gemini", rate_multiplier=multiplier)
        )


async def test_mistakes_are_refused(workshop: Workshop) -> None:
    with pytest.raises(MistakeError, match="unknown platform"):
        await workshop.groups.add(Group(id=0, name="g", platform="x"))  # type: ignore[arg-type]
    with pytest.raises(MistakeError, match="there is no group"):
        await workshop.groups.find("g")


async def test_limits_of_a_group_are_kept_and_checked(workshop: Workshop) -> None:
    limits = Limits(rpm=5, cost_month=7)
    await workshop.groups.add(
        Group(
            id=0,
            name="g",
            platform="gemini",
            concurrency=3,
            limits=limits,
            first_byte_timeout=2.5,
        )
    )
    found = await workshop.groups.find("g")
    assert (found.concurrency, found.limits, found.first_byte_timeout) == (3, limits, 2.5)
    changed = await workshop.groups.change("g", {"first_byte_timeout": None, "limits": Limits()})
    assert (changed.first_byte_timeout, changed.limits) == (None, Limits())
    for bad in (
        {"concurrency": -1},
        {"limits": Limits(rpm=-1)},
        {"first_byte_timeout": -1.0},
        {"first_byte_timeout": 3601.0},
    ):
        with pytest.raises(MistakeError, match=r"must be 0|first byte"):
            await workshop.groups.change("g", bad)
