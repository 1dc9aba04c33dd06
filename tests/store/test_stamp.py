from __future__ import annotations

from sub2api.store import options, stamp
from sub2api.store.database import Database


async def test_the_stamp_grows_with_every_change_of_configuration(database: Database) -> None:
    seen = []
    for number in range(3):
        async with database.transaction() as connection:
            await options.set(connection, "a", number)
        async with database.reading() as connection:
            seen.append(await stamp.read(connection))
    assert seen == sorted(set(seen))


async def test_a_change_that_is_rolled_back_leaves_the_stamp(database: Database) -> None:
    async with database.reading() as connection:
        before = await stamp.read(connection)
    async with database.transaction() as connection:
        await options.set(connection, "a", 1)
        assert await stamp.read(connection) > before
        await connection.rollback()
    async with database.reading() as connection:
        assert await stamp.read(connection) == before
