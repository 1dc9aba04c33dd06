"""Model routes: by name or id, of the group's platform, added and removed one by one."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.model.accounts import Account, Group
from tests.fakes.workshop import Workshop


@pytest.fixture
async def stocked(workshop: Workshop) -> Workshop:
    for name, platform in (("one", "openai"), ("two", "openai"), ("other", "gemini")):
        account = Account(id=0, name=name, platform=platform, api_key="k")  # type: ignore[arg-type]
        await workshop.accounts.add(account)
    return workshop


async def test_routes_are_kept_by_id_and_changed_one_by_one(stocked: Workshop) -> None:
    group = Group(id=0, name="g", platform="openai")
    made = await stocked.groups.add(group, routes={"gpt-5*": ["one", "2", "one"]})
    assert made.model_routes == {"gpt-5*": (1, 2)}
    changed = await stocked.groups.change("g", {}, routes={"*": ["two"], "o3": ["one"]})
    assert changed.model_routes == {"gpt-5*": (1, 2), "*": (2,), "o3": (1,)}
    changed = await stocked.groups.change("g", {}, routes={"gpt-5*": [], "*": ["one"]})
    assert changed.model_routes == {"o3": (1,), "*": (1,)}
    assert (await stocked.groups.find("g")).model_routes == changed.model_routes
    whole = await stocked.groups.change("g", {"model_routes": {"m": (2,)}})
    assert whole.model_routes == {"m": (2,)}


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ({"m": ["nobody"]}, "there is no account 'nobody' to send 'm' to"),
        ({"m": ["other"]}, "account 3 is for gemini: a group of openai cannot use it"),
        ({"a*b": ["one"]}, "one \\* at its end"),
        ({"*a": ["one"]}, "one \\* at its end"),
        ({" ": ["one"]}, "is no model to route"),
    ],
)
async def test_a_route_that_leads_nowhere_is_refused(
    stocked: Workshop, routes: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(MistakeError, match=said):
        await stocked.groups.add(Group(id=0, name="g", platform="openai"), routes=routes)
    assert await stocked.groups.everything() == []


@pytest.mark.parametrize(
    ("routes", "said"), [({"m": (99,)}, "no account with id 99"), ({"m": ()}, "names no account")]
)
async def test_ids_are_checked_too(
    stocked: Workshop, routes: dict[str, tuple[int, ...]], said: str
) -> None:
    await stocked.groups.add(Group(id=0, name="g", platform="openai"))
    with pytest.raises(MistakeError, match=said):
        await stocked.groups.change("g", {"model_routes": routes})
