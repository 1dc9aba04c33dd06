from __future__ import annotations

from sqlalchemy import insert, update

from sub2api.model.callers import User
from sub2api.store import tables, users
from sub2api.store.database import Database

OWNER = User(id=1, email="owner@localhost", role="admin", created_at=1000.0)


async def test_the_owner_is_made_once(database: Database) -> None:
    async with database.transaction() as connection:
        assert await users.ensure_owner(connection, now=1000.0) == OWNER
        assert await users.ensure_owner(connection, now=2000.0) == OWNER
        assert await users.ensure_owner(connection) == OWNER
    async with database.reading() as connection:
        assert await users.everything(connection) == [OWNER]
        assert await users.find(connection, 1) == OWNER
        assert await users.find(connection, 2) is None


async def test_the_owner_is_dated_by_the_machines_clock_by_default(database: Database) -> None:
    async with database.transaction() as connection:
        assert (await users.ensure_owner(connection)).created_at > 1_600_000_000


async def test_a_deleted_user_is_not_found(database: Database) -> None:
    async with database.transaction() as connection:
        values = {"id": 5, "email": "a@b", "created_at": 1.0, "balance": 2**40}
        await connection.execute(insert(tables.users).values(values))
        found = await users.find(connection, 5)
        assert found == User(id=5, email="a@b", balance=2**40, created_at=1.0)
        await connection.execute(update(tables.users).values(deleted_at=2.0))
        assert await users.find(connection, 5) is None
        assert await users.everything(connection) == []
