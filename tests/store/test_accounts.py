from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import select

from sub2api.errors import MistakeError, StoreError
from sub2api.model.accounts import Account, Group, Proxy
from sub2api.store import accounts, groups, proxies, stamp, tables
from sub2api.store.database import Database
from sub2api.store.sealing import Sealer

PLAIN = Account(id=0, name="plain", platform="anthropic", api_key="sk-ant-1", created_at=1000.0)


async def _full(database: Database, sealer: Sealer) -> Account:
    """Insert an account with every field set, and return it."""
    async with database.transaction() as connection:
        proxy = Proxy(
            id=0, name="p", protocol="http", host="h", port=1, username="u", password="pw"
        )
        proxy = dataclasses.replace(proxy, id=await proxies.insert(connection, sealer, proxy))
        group_ids = [
            await groups.insert(connection, Group(id=0, name=name, platform="openai"))
            for name in ("one", "two")
        ]
        account = Account(
            id=0,
            name="full",
            platform="openai",
            type="oauth",
            api_key="sk-2",
            base_url="https://host.example/v1",
            model_mapping={"gpt-*": "gpt-5.1"},
            proxy=proxy,
            concurrency=3,
            priority=7,
            status="error",
            schedulable=False,
            error_message="no credit",
            expires_at=2000.5,
            notes="mine",
            group_ids=tuple(group_ids),
            created_at=1000.25,
        )
        account_id = await accounts.insert(connection, sealer, account)
    return dataclasses.replace(account, id=account_id)


async def test_an_account_comes_back_as_it_went_in(database: Database, sealer: Sealer) -> None:
    full = await _full(database, sealer)
    async with database.transaction() as connection:
        plain = dataclasses.replace(PLAIN, id=await accounts.insert(connection, sealer, PLAIN))
    async with database.reading() as connection:
        assert await accounts.everything(connection, sealer) == [full, plain]
        assert await accounts.find(connection, sealer, "full") == full
        assert await accounts.find(connection, sealer, str(plain.id)) == plain
        assert await accounts.find(connection, sealer, "nobody") is None


async def test_a_credential_is_sealed(database: Database, sealer: Sealer) -> None:
    async with database.transaction() as connection:
        await accounts.insert(connection, sealer, PLAIN)
        statement = select(tables.accounts.c.credentials_sealed)
        sealed = (await connection.execute(statement)).scalar_one()
    assert PLAIN.api_key not in sealed
    assert sealer.open(sealed, "account credentials") == '{"api_key":"sk-ant-1"}'


async def test_a_name_is_unique_among_live_accounts(database: Database, sealer: Sealer) -> None:
    async with database.transaction() as connection:
        account_id = await accounts.insert(connection, sealer, PLAIN)
    with pytest.raises(MistakeError, match="there is already an account named 'plain'"):
        async with database.transaction() as connection:
            await accounts.insert(connection, sealer, PLAIN)
    async with database.transaction() as connection:
        await accounts.delete(connection, account_id)
        await accounts.insert(connection, sealer, PLAIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "new"},
        {"api_key": "sk-3"},
        {"base_url": "", "model_mapping": {}, "concurrency": 0, "priority": 1},
        {"status": "active", "schedulable": True, "error_message": None},
        {"expires_at": None, "notes": None},
        {"group_ids": ()},
        {"platform": "gemini", "type": "apikey"},
        {},
    ],
)
async def test_fields_change_and_others_stay(
    database: Database, sealer: Sealer, changes: dict[str, object]
) -> None:
    full = await _full(database, sealer)
    async with database.transaction() as connection:
        assert await accounts.change(connection, sealer, full.id, changes)
    async with database.reading() as connection:
        (found,) = await accounts.everything(connection, sealer)
    assert found == dataclasses.replace(full, **changes)  # type: ignore[arg-type]  # from the table


async def test_the_proxy_changes_by_id(database: Database, sealer: Sealer) -> None:
    full = await _full(database, sealer)
    assert full.proxy is not None
    async with database.transaction() as connection:
        await accounts.change(connection, sealer, full.id, {"proxy_id": None})
        assert (await accounts.everything(connection, sealer))[0].proxy is None
        await accounts.change(connection, sealer, full.id, {"proxy_id": full.proxy.id})
        assert (await accounts.everything(connection, sealer))[0].proxy == full.proxy
        with pytest.raises(ValueError, match="proxy"):
            await accounts.change(connection, sealer, full.id, {"proxy": None})


async def test_changing_what_is_not_there_says_so(database: Database, sealer: Sealer) -> None:
    async with database.transaction() as connection:
        assert not await accounts.change(connection, sealer, 99, {"name": "x", "group_ids": (1,)})
        assert not await accounts.delete(connection, 99)


@pytest.mark.parametrize("changes", [{"proxy_id": 99}, {"group_ids": (99,)}])
async def test_an_account_cannot_point_to_what_does_not_exist(
    database: Database, sealer: Sealer, changes: dict[str, object]
) -> None:
    full = await _full(database, sealer)
    with pytest.raises(StoreError, match=r"(?i)foreign.?key") as caught:
        async with database.transaction() as connection:
            await accounts.change(connection, sealer, full.id, changes)
    assert not caught.value.transient


async def test_an_account_keeps_its_proxy_even_if_that_was_deleted(
    database: Database, sealer: Sealer
) -> None:
    full = await _full(database, sealer)
    async with database.transaction() as connection:
        deleted = tables.proxies.update().values(deleted_at=5.0)
        await connection.execute(deleted)
        assert (await accounts.everything(connection, sealer))[0].proxy == full.proxy


async def test_deletion_wipes_the_credential_and_dates_it(
    database: Database, sealer: Sealer
) -> None:
    full = await _full(database, sealer)
    async with database.transaction() as connection:
        assert await accounts.delete(connection, full.id, now=5.0)
        c = tables.accounts.c
        row = (await connection.execute(select(c.credentials_sealed, c.deleted_at, c.name))).one()
        assert tuple(row) == ("", 5.0, "full")
        assert await accounts.everything(connection, sealer) == []
        assert await accounts.find(connection, sealer, "full") is None


async def test_an_account_whose_credential_cannot_be_opened_is_in_error(
    database: Database, sealer: Sealer
) -> None:
    async with database.transaction() as connection:
        await accounts.insert(connection, Sealer(bytes(32)), PLAIN)
        await accounts.insert(connection, sealer, dataclasses.replace(PLAIN, name="good"))
        bad, good = await accounts.everything(connection, sealer)
    assert (bad.status, bad.api_key) == ("error", "")
    assert "enter it again" in (bad.error_message or "")
    assert not bad.is_usable(0.0)
    assert (good.status, good.api_key) == ("active", "sk-ant-1")


async def test_touching_moves_last_use_forward_only(database: Database, sealer: Sealer) -> None:
    async with database.transaction() as connection:
        first = await accounts.insert(connection, sealer, PLAIN)
        second = await accounts.insert(connection, sealer, dataclasses.replace(PLAIN, name="b"))
        before = await stamp.read(connection)
        await accounts.touch(connection, {})
        await accounts.touch(connection, {second: 50.0, first: 40.5, 99: 1.0})
        await accounts.touch(connection, {second: 20.0})
        assert await stamp.read(connection) == before
        found = await accounts.everything(connection, sealer)
    assert [each.last_used_at for each in found] == [40.5, 50.0]
