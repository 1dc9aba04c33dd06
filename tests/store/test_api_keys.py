from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.errors import MistakeError, StoreError
from sub2api.model.accounts import Group
from sub2api.model.callers import ApiKey, Caller
from sub2api.store import api_keys, groups, stamp, tables, users
from sub2api.store.database import Database

PLAIN = ApiKey(id=0, user_id=1, name="laptop", hint="sk-ab…9f", created_at=1000.0)


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[AsyncConnection]:
    """A transaction in which the owner and the groups 1 to 3 exist."""
    async with database.transaction() as opened:
        await users.ensure_owner(opened, now=1.0)
        for name in ("one", "two", "three"):
            await groups.insert(opened, Group(id=0, name=name, platform="openai"))
        yield opened


async def _insert(connection: AsyncConnection, key: ApiKey, key_hash: str = "h1") -> ApiKey:
    key_id = await api_keys.insert(connection, key, key_hash=key_hash, key_sealed=f"s-{key_hash}")
    return dataclasses.replace(key, id=key_id)


def _full(name: str = "full") -> ApiKey:
    return ApiKey(
        id=0,
        user_id=1,
        name=name,
        hint="h",
        status="disabled",
        group_ids=(3, 1),
        concurrency=4,
        ip_allow=("10.0.0.0/8",),
        ip_deny=("10.0.0.7", "::1"),
        expires_at=2000.0,
        created_at=1000.0,
    )


async def test_a_key_comes_back_as_it_went_in(connection: AsyncConnection) -> None:
    plain, full = await _insert(connection, PLAIN), await _insert(connection, _full(), "h2")
    assert await api_keys.everything(connection) == [plain, full]
    assert await api_keys.find(connection, "full") == full
    assert await api_keys.find(connection, str(plain.id)) == plain
    assert await api_keys.find(connection, "nobody") is None


async def test_a_caller_is_found_by_the_hash_of_its_key_whatever_its_status(
    connection: AsyncConnection,
) -> None:
    await _insert(connection, PLAIN)
    full = await _insert(connection, _full(), "h2")
    owner = await users.ensure_owner(connection)
    assert await api_keys.caller_by_hash(connection, "h2") == Caller(key=full, user=owner)
    assert await api_keys.caller_by_hash(connection, "h3") is None


async def test_a_deleted_keys_or_owners_key_calls_no_more(connection: AsyncConnection) -> None:
    key = await _insert(connection, PLAIN)
    await _insert(connection, _full(), "h2")
    await api_keys.delete(connection, key.id)
    assert await api_keys.caller_by_hash(connection, "h1") is None
    assert await api_keys.caller_by_hash(connection, "h2") is not None
    await connection.execute(update(tables.users).values(deleted_at=5.0))
    assert await api_keys.caller_by_hash(connection, "h2") is None


async def test_the_groups_of_a_key_keep_their_order(connection: AsyncConnection) -> None:
    key = await _insert(connection, dataclasses.replace(PLAIN, group_ids=(2, 3, 1, 3)))
    (found,) = await api_keys.everything(connection)
    assert found.group_ids == (2, 3, 1)
    await api_keys.change(connection, key.id, {"group_ids": (1, 2)})
    caller = await api_keys.caller_by_hash(connection, "h1")
    assert caller is not None
    assert caller.key.group_ids == (1, 2)
    await api_keys.change(connection, key.id, {"group_ids": ()})
    assert (await api_keys.everything(connection))[0].group_ids == ()


async def test_a_group_that_does_not_exist_cannot_be_bound(database: Database) -> None:
    async with database.transaction() as connection:
        await users.ensure_owner(connection)
    with pytest.raises(StoreError, match=r"(?i)foreign.?key"):
        async with database.transaction() as connection:
            await _insert(connection, dataclasses.replace(PLAIN, group_ids=(9,)))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "new", "status": "active", "concurrency": 0},
        {"ip_allow": (), "ip_deny": ("1.2.3.4",), "expires_at": None},
        {},
    ],
)
async def test_fields_change_and_others_stay(
    connection: AsyncConnection, changes: dict[str, object]
) -> None:
    full = await _insert(connection, _full())
    assert await api_keys.change(connection, full.id, changes)
    wanted = dataclasses.replace(full, **changes)  # type: ignore[arg-type]  # from the table
    assert await api_keys.everything(connection) == [wanted]
    assert not await api_keys.change(connection, 99, changes)


@pytest.mark.parametrize("field", ["key_hash", "key_sealed", "user_id", "last_used_at", "id"])
async def test_a_keys_identity_cannot_be_changed(connection: AsyncConnection, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        await api_keys.change(connection, 1, {field: "x"})


async def test_a_name_is_unique_among_keys_that_are_not_revoked(
    connection: AsyncConnection,
) -> None:
    old = await _insert(connection, PLAIN)
    await api_keys.change(connection, old.id, {"status": "revoked"})
    new = await _insert(connection, PLAIN, "h2")
    assert await api_keys.find(connection, "laptop") == new
    with pytest.raises(MistakeError, match="there is already a key named 'laptop'"):
        await _insert(connection, PLAIN, "h3")


async def test_a_revoked_key_is_still_listed_and_found(connection: AsyncConnection) -> None:
    key = await _insert(connection, PLAIN)
    await api_keys.change(connection, key.id, {"status": "revoked"})
    revoked = dataclasses.replace(key, status="revoked")
    assert await api_keys.everything(connection) == [revoked]
    assert await api_keys.find(connection, "laptop") == revoked


async def test_a_text_never_comes_back_not_even_after_deletion(
    connection: AsyncConnection,
) -> None:
    key = await _insert(connection, PLAIN)
    assert await api_keys.delete(connection, key.id)
    assert not await api_keys.delete(connection, key.id)
    with pytest.raises(MistakeError, match="is or was in use"):
        await _insert(connection, dataclasses.replace(PLAIN, name="other"))


async def test_another_failure_stays_a_store_error(connection: AsyncConnection) -> None:
    with pytest.raises(StoreError, match=r"(?i)foreign.?key"):
        await _insert(connection, dataclasses.replace(PLAIN, user_id=99))


async def test_the_sealed_text_is_shown_until_deletion_wipes_it(
    connection: AsyncConnection,
) -> None:
    key = await _insert(connection, PLAIN)
    assert await api_keys.sealed_text(connection, key.id) == "s-h1"
    await api_keys.delete(connection, key.id)
    with pytest.raises(MistakeError, match=f"no key with id {key.id}"):
        await api_keys.sealed_text(connection, key.id)
    sealed = (await connection.execute(select(tables.api_keys.c.key_sealed))).scalar_one()
    assert sealed == ""


async def test_touching_moves_last_use_forward_only(connection: AsyncConnection) -> None:
    key = await _insert(connection, PLAIN)
    before = await stamp.read(connection)
    await api_keys.touch(connection, {key.id: 50.0})
    await api_keys.touch(connection, {key.id: 20.0})
    assert await stamp.read(connection) == before
    assert (await api_keys.everything(connection))[0].last_used_at == 50.0
