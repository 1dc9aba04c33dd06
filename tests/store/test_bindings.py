from __future__ import annotations

from sub2api.store import bindings
from sub2api.store.bindings import Binding
from sub2api.store.database import Database


async def test_a_bound_id_leads_to_its_account_for_its_key_until_it_expires(
    database: Database,
) -> None:
    async with database.transaction() as connection:
        new = [Binding(1, "resp_a", 7, 100.0), Binding(2, "resp_a", 8, 100.0)]
        await bindings.insert_many(connection, new)
    async with database.reading() as connection:
        assert await bindings.account_of(connection, 1, "resp_a", 99.0) == 7
        assert await bindings.account_of(connection, 2, "resp_a", 99.0) == 8
        assert await bindings.account_of(connection, 3, "resp_a", 99.0) is None
        assert await bindings.account_of(connection, 1, "resp_b", 99.0) is None
        assert await bindings.account_of(connection, 1, "resp_a", 100.0) is None


async def test_binding_again_takes_the_new_account_and_expiry(database: Database) -> None:
    async with database.transaction() as connection:
        await bindings.insert_many(connection, [])
        await bindings.insert_many(connection, [Binding(1, "r", 7, 100.0)] * 2)
        await bindings.insert_many(connection, [Binding(1, "r", 9, 200.0)])
        assert await bindings.account_of(connection, 1, "r", 150.0) == 9


async def test_an_id_is_known_when_anybody_has_it(database: Database) -> None:
    async with database.transaction() as connection:
        await bindings.insert_many(connection, [Binding(1, "resp_a", 7, 100.0)])
        assert await bindings.is_known(connection, "resp_a")
        assert not await bindings.is_known(connection, "resp_b")


async def test_purging_deletes_what_has_expired(database: Database) -> None:
    async with database.transaction() as connection:
        new = [Binding(1, f"r{number}", 7, float(number)) for number in range(10)]
        await bindings.insert_many(connection, new)
        assert await bindings.purge(connection, 4.0) == 5
        assert await bindings.purge(connection, 4.0) == 0
        assert await bindings.account_of(connection, 1, "r5", 0.0) == 7
        assert await bindings.account_of(connection, 1, "r4", 0.0) is None


async def test_an_id_that_cannot_be_one_is_not_kept_and_not_found(database: Database) -> None:
    async with database.transaction() as connection:
        await bindings.insert_many(connection, [bindings.Binding(1, "a\0", 3, 10.0)])
        assert await bindings.account_of(connection, 1, "a\0", 0.0) is None
        assert not await bindings.is_known(connection, "a\0")
