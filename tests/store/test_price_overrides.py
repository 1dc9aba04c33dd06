from __future__ import annotations

import dataclasses

from sub2api.store import price_overrides, stamp
from sub2api.store.database import Database
from sub2api.store.price_overrides import PriceOverride

OPEN_ENDED = PriceOverride(
    id=0, model="claude-*", prices={"input": 3_000_000_000}, valid_from=10.0, created_at=5.0
)
BOUNDED = dataclasses.replace(OPEN_ENDED, model="gpt-5.1", valid_until=20.0, prices={"input": 0})


async def test_an_override_comes_back_as_it_went_in(database: Database) -> None:
    async with database.transaction() as connection:
        before = await stamp.read(connection)
        wanted = [
            dataclasses.replace(each, id=await price_overrides.insert(connection, each))
            for each in (OPEN_ENDED, BOUNDED)
        ]
        assert await stamp.read(connection) > before
    async with database.reading() as connection:
        assert await price_overrides.everything(connection) == wanted


async def test_a_deleted_override_is_gone(database: Database) -> None:
    async with database.transaction() as connection:
        override_id = await price_overrides.insert(connection, OPEN_ENDED)
        assert await price_overrides.delete(connection, override_id)
        assert not await price_overrides.delete(connection, override_id)
        assert await price_overrides.everything(connection) == []
