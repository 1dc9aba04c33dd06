"""The owner's limits."""

from __future__ import annotations

import pytest

from sub2api.errors import MistakeError
from sub2api.identity.api_keys import digest
from sub2api.identity.users import Owner
from sub2api.model.callers import ApiKey
from sub2api.model.limits import Limits
from sub2api.store import api_keys
from tests.fakes.workshop import Workshop


async def test_the_owner_is_there_from_the_start_without_limits(workshop: Workshop) -> None:
    owner = await Owner(workshop.database, workshop.clock).find()
    assert (owner.concurrency, owner.limits) == (0, Limits())


async def test_what_is_not_given_stays_and_callers_carry_it(workshop: Workshop) -> None:
    owner = Owner(workshop.database, workshop.clock)
    await owner.change({"concurrency": 4, "rpm": 60})
    changed = await owner.change({"cost_day": 7})
    assert (changed.concurrency, changed.limits) == (4, Limits(rpm=60, cost_day=7))
    assert (await owner.find()) == changed
    key = ApiKey(id=0, user_id=0, name="k", hint="", limits=Limits(tpm=9), quota=5)
    _, text = await workshop.keys.create(key)
    async with workshop.database.reading() as connection:
        caller = await api_keys.caller_by_hash(connection, digest(text))
    assert caller is not None
    assert caller.user == changed
    assert (caller.key.limits, caller.key.quota) == (Limits(tpm=9), 5)


@pytest.mark.parametrize("changes", [{"concurrency": -1}, {"rpm": -1}, {"cost_week": -1}])
async def test_a_limit_below_nothing_is_refused(
    workshop: Workshop, changes: dict[str, int]
) -> None:
    owner = Owner(workshop.database, workshop.clock)
    with pytest.raises(MistakeError, match="must be 0"):
        await owner.change(changes)
    assert (await owner.find()).limits == Limits()
