"""Groups."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.model.accounts import Group
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
