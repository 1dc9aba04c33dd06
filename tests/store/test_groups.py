from __future__ import annotations

import dataclasses

import pytest

from sub2api.errors import MistakeError
from sub2api.model.accounts import Account, Group
from sub2api.model.callers import ApiKey
from sub2api.store import accounts, api_keys, groups, users
from sub2api.store.database import Database
from sub2api.store.sealing import Sealer

PLAIN = Group(id=0, name="plain", platform="openai", created_at=1000.0)
FULL = Group(
    id=0,
    name="full",
    platform="gemini",
    description="everything set",
    rate_multiplier="0.85",
    status="disabled",
    disconnect="observed",
    created_at=1000.5,
)


async def test_a_group_comes_back_as_it_went_in(database: Database) -> None:
    async with database.transaction() as connection:
        wanted = [
            dataclasses.replace(each, id=await groups.insert(connection, each))
            for each in (PLAIN, FULL)
        ]
    async with database.reading() as connection:
        assert await groups.everything(connection) == wanted
        assert await groups.find(connection, "full") == wanted[1]
        assert await groups.find(connection, str(wanted[0].id)) == wanted[0]
        assert await groups.find(connection, "nobody") is None


async def test_a_name_is_free_again_after_deletion_only(database: Database) -> None:
    async with database.transaction() as connection:
        group_id = await groups.insert(connection, PLAIN)
    with pytest.raises(MistakeError, match="there is already a group named 'plain'"):
        async with database.transaction() as connection:
            await groups.insert(connection, PLAIN)
    async with database.transaction() as connection:
        assert await groups.delete(connection, group_id)
        assert not await groups.delete(connection, group_id)
        assert await groups.insert(connection, PLAIN) != group_id


async def test_fields_change_and_others_stay(database: Database) -> None:
    async with database.transaction() as connection:
        group_id = await groups.insert(connection, FULL)
        assert await groups.change(connection, group_id, {"rate_multiplier": "0", "name": "new"})
        changed = dataclasses.replace(FULL, id=group_id, rate_multiplier="0", name="new")
        assert await groups.everything(connection) == [changed]
        assert not await groups.change(connection, group_id + 1, {"name": "x"})


async def test_a_taken_name_cannot_be_taken_by_a_change(database: Database) -> None:
    async with database.transaction() as connection:
        await groups.insert(connection, PLAIN)
        group_id = await groups.insert(connection, FULL)
    with pytest.raises(MistakeError, match="'plain'"):
        async with database.transaction() as connection:
            await groups.change(connection, group_id, {"name": "plain"})


async def test_an_unknown_field_is_a_programming_error(database: Database) -> None:
    with pytest.raises(ValueError, match="created_at"):
        async with database.transaction() as connection:
            await groups.change(connection, 1, {"created_at": 1})


async def test_deleting_a_group_frees_its_accounts_but_never_widens_a_key(
    database: Database, sealer: Sealer
) -> None:
    async with database.transaction() as connection:
        group_id = await groups.insert(connection, PLAIN)
        account = Account(id=0, name="a", platform="openai", group_ids=(group_id,))
        await accounts.insert(connection, sealer, account)
        await users.ensure_owner(connection)
        key = ApiKey(id=0, user_id=1, name="k", hint="h", group_ids=(group_id,))
        await api_keys.insert(connection, key, key_hash="h", key_sealed="s")
        await groups.delete(connection, group_id)
        assert (await accounts.everything(connection, sealer))[0].group_ids == ()
        assert (await api_keys.everything(connection))[0].group_ids == (group_id,)
