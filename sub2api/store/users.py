"""Statements on users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.clock import Clock
from sub2api.model.callers import User
from sub2api.store import rows, tables

users = tables.users
_CHANGEABLE = frozenset({"concurrency", "limits", "status"})

OWNER_ID = 1
OWNER_EMAIL = "owner@localhost"


async def ensure_owner(connection: AsyncConnection, *, now: float | None = None) -> User:
    """Return simple mode's one user, made on the first call."""
    created_at = Clock().now() if now is None else now
    statement = rows.insert_into(connection, users).values(
        id=OWNER_ID, email=OWNER_EMAIL, role="admin", created_at=created_at
    )
    await connection.execute(statement.on_conflict_do_nothing())
    return user_of((await connection.execute(select(users).where(users.c.id == OWNER_ID))).one())


async def everything(connection: AsyncConnection) -> list[User]:
    """Return all live users in the order they were made."""
    statement = select(users).where(rows.is_live(users)).order_by(users.c.id)
    return [user_of(row) for row in (await connection.execute(statement)).all()]


async def find(connection: AsyncConnection, user_id: int) -> User | None:
    """Return the live user of that id, else None."""
    statement = select(users).where(users.c.id == user_id, rows.is_live(users))
    row = (await connection.execute(statement)).first()
    return None if row is None else user_of(row)


async def change(connection: AsyncConnection, user_id: int, changes: Mapping[str, Any]) -> bool:
    """Change fields of a live user, named as in `User`; return whether there is one."""
    rows.only_known(changes, _CHANGEABLE)
    return await rows.change_row(connection, users, user_id, changes)


def user_of(row: Row[Any]) -> User:
    """Return the user in a row."""
    return User(
        id=row.id,
        email=row.email,
        role=row.role,
        status=row.status,
        concurrency=row.concurrency,
        balance=row.balance,
        created_at=row.created_at,
        limits=row.limits,
    )
