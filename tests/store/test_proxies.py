from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import select

from sub2api.errors import MistakeError
from sub2api.model.accounts import Account, Proxy
from sub2api.store import accounts, proxies, tables
from sub2api.store.database import Database
from sub2api.store.sealing import Sealer

OPEN = Proxy(id=0, name="open", protocol="http", host="10.0.0.1", port=3128)
LOCKED = Proxy(
    id=0,
    name="locked",
    protocol="socks5h",
    host="proxy.example",
    port=1080,
    username="me",
    password="hunter2",
    status="disabled",
)


async def _sealed(database: Database) -> list[str | None]:
    async with database.reading() as connection:
        return list((await connection.execute(select(tables.proxies.c.password_sealed))).scalars())


async def test_a_proxy_comes_back_as_it_went_in(database: Database, sealer: Sealer) -> None:
    async with database.transaction() as connection:
        wanted = [
            dataclasses.replace(each, id=await proxies.insert(connection, sealer, each))
            for each in (LOCKED, OPEN)
        ]
    async with database.reading() as connection:
        assert await proxies.everything(connection, sealer) == wanted
        assert await proxies.by_id(connection, sealer) == {each.id: each for each in wanted}
        assert await proxies.find(connection, sealer, "open") == wanted[1]
        assert await proxies.find(connection, sealer, str(wanted[0].id)) == wanted[0]
        assert await proxies.find(connection, sealer, "nobody") is None


async def test_a_password_is_sealed(database: Database, sealer: Sealer) -> None:
    async with database.transaction() as connection:
        await proxies.insert(connection, sealer, LOCKED)
    (sealed,) = await _sealed(database)
    assert sealed is not None
    assert "hunter2" not in sealed
    assert sealer.open(sealed, "proxy password") == "hunter2"


async def test_a_name_is_unique(database: Database, sealer: Sealer) -> None:
    async with database.transaction() as connection:
        await proxies.insert(connection, sealer, OPEN)
    with pytest.raises(MistakeError, match="a proxy named 'open'"):
        async with database.transaction() as connection:
            await proxies.insert(connection, sealer, OPEN)


async def test_fields_change_password_included(database: Database, sealer: Sealer) -> None:
    async with database.transaction() as connection:
        proxy_id = await proxies.insert(connection, sealer, LOCKED)
        assert await proxies.change(connection, sealer, proxy_id, {"password": "new", "port": 99})
        changed = dataclasses.replace(LOCKED, id=proxy_id, password="new", port=99)
        assert await proxies.everything(connection, sealer) == [changed]
        await proxies.change(connection, sealer, proxy_id, {"password": None, "username": None})
        changed = dataclasses.replace(changed, password=None, username=None)
        assert await proxies.everything(connection, sealer) == [changed]
        with pytest.raises(ValueError, match="password_sealed"):
            await proxies.change(connection, sealer, proxy_id, {"password_sealed": "x"})


async def test_a_proxy_in_use_cannot_be_deleted(database: Database, sealer: Sealer) -> None:
    async with database.transaction() as connection:
        proxy_id = await proxies.insert(connection, sealer, OPEN)
        proxy = dataclasses.replace(OPEN, id=proxy_id)
        account_ids = [
            await accounts.insert(
                connection, sealer, Account(id=0, name=name, platform="openai", proxy=proxy)
            )
            for name in ("b", "a")
        ]
        with pytest.raises(MistakeError, match="used by these accounts: a, b"):
            await proxies.delete(connection, proxy_id)
        for account_id in account_ids:
            await accounts.delete(connection, account_id)
        assert await proxies.delete(connection, proxy_id)
        assert not await proxies.delete(connection, proxy_id)
        assert await proxies.everything(connection, sealer) == []


async def test_deletion_wipes_the_password(database: Database, sealer: Sealer) -> None:
    async with database.transaction() as connection:
        await proxies.delete(connection, await proxies.insert(connection, sealer, LOCKED))
    assert await _sealed(database) == [None]


async def test_a_proxy_whose_password_cannot_be_opened_is_disabled(
    database: Database, sealer: Sealer
) -> None:
    locked = dataclasses.replace(LOCKED, status="active")
    async with database.transaction() as connection:
        await proxies.insert(connection, Sealer(bytes(32)), locked)
        (found,) = await proxies.everything(connection, sealer)
    assert (found.status, found.password) == ("disabled", None)
