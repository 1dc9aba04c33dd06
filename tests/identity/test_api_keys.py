"""API keys: made, shown, revoked."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.model.accounts import Group
from sub2api.model.callers import ApiKey
from tests.fakes.workshop import Workshop


def blank(**fields: object) -> ApiKey:
    return ApiKey(**{"id": 0, "user_id": 0, "name": "k", "hint": "", **fields})  # type: ignore[arg-type]


async def test_a_key_is_shown_once_and_on_demand_and_stored_sealed(workshop: Workshop) -> None:
    key, text = await workshop.keys.create(blank())
    assert text.startswith("sk-")
    assert len(text) > 40
    assert text not in repr(key)
    assert await workshop.keys.reveal("k") == text
    assert text.encode() not in workshop.database.path.read_bytes()


async def test_a_key_of_ones_own_is_taken_once(workshop: Workshop) -> None:
    _, text = await workshop.keys.create(blank(), text="my-own-key-0123456")
    assert text == "my-own-key-0123456"
    with pytest.raises(MistakeError, match="in use"):
        await workshop.keys.create(blank(name="other"), text=text)
    for bad in ("short", "with space 0123456789", "ümlaut-0123456789"):
        with pytest.raises(MistakeError, match="16 to 128"):
            await workshop.keys.create(blank(name="x"), text=bad)


@pytest.mark.parametrize(
    "fields",
    [{"name": ""}, {"name": "a\nb"}, {"concurrency": -1}, {"ip_allow": ("nonsense",)}],
)
async def test_mistakes_are_refused(workshop: Workshop, fields: dict[str, object]) -> None:
    with pytest.raises(MistakeError):
        await workshop.keys.create(blank(**fields))


async def test_groups_keep_their_order(workshop: Workshop) -> None:
    for name in ("one", "two"):
        await workshop.groups.add(Group(id=0, name=name, platform="openai"))
    key, _ = await workshop.keys.create(blank(), groups=("two", "one"))
    assert key.group_ids == (2, 1)
    assert (await workshop.keys.find("k")).group_ids == (2, 1)
    changed = await workshop.keys.change("k", {"concurrency": 4}, groups=("one",))
    assert (changed.concurrency, changed.group_ids) == (4, (1,))
    with pytest.raises(MistakeError, match="there is no group"):
        await workshop.keys.create(blank(name="x"), groups=("nope",))


async def test_a_revoked_key_stays_listed_and_cannot_come_back(workshop: Workshop) -> None:
    await workshop.keys.create(blank())
    assert (await workshop.keys.revoke("k")).status == "revoked"
    assert [key.status for key in await workshop.keys.everything()] == ["revoked"]
    with pytest.raises(MistakeError, match="revoked for good"):
        await workshop.keys.change("k", {"status": "active"})
    with pytest.raises(MistakeError, match="there is no key"):
        await workshop.keys.find("nope")
