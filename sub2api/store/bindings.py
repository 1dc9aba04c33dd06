"""Statements on bindings: which account issued a response id, so that only it is asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.store.rows import insert_into
from sub2api.store.tables import bindings


class Binding(NamedTuple):
    """An id issued by an account to a key. `expires_at` is in seconds since 1970."""

    key_id: int
    bound_id: str
    account_id: int
    expires_at: float


async def insert_many(connection: AsyncConnection, new: Sequence[Binding]) -> None:
    """Keep bindings; one that exists already takes the new account and expiry."""
    if not new:
        return
    statement = insert_into(connection, bindings)
    statement = statement.on_conflict_do_update(
        index_elements=[bindings.c.key_id, bindings.c.bound_id],
        set_={
            "account_id": statement.excluded.account_id,
            "expires_at": statement.excluded.expires_at,
        },
    )
    # In order of the key, so that two processes that keep the same ones cannot deadlock.
    rows = sorted((Binding(*each) for each in new if _can_be(each[1])), key=lambda row: row[:2])
    if rows:
        await connection.execute(statement, [each._asdict() for each in rows])


async def account_of(
    connection: AsyncConnection, key_id: int, bound_id: str, now: float
) -> int | None:
    """Return the account that issued `bound_id` to the key; None if unknown or expired."""
    if not _can_be(bound_id):
        return None
    statement = select(bindings.c.account_id).where(
        bindings.c.key_id == key_id, bindings.c.bound_id == bound_id, bindings.c.expires_at > now
    )
    return (await connection.execute(statement)).scalar()


async def is_known(connection: AsyncConnection, bound_id: str) -> bool:
    """Whether the id was issued to any key at all: it is then nobody else's to use."""
    if not _can_be(bound_id):
        return False
    statement = select(bindings.c.key_id).where(bindings.c.bound_id == bound_id).limit(1)
    return (await connection.execute(statement)).first() is not None


def _can_be(bound_id: str) -> bool:
    """Whether an id may be one: no vendor's has U+0000, and Postgres' texts cannot hold it."""
    return "\0" not in bound_id


async def purge(connection: AsyncConnection, now: float) -> int:
    """Delete what has expired; return how many."""
    result = await connection.execute(bindings.delete().where(bindings.c.expires_at <= now))
    return result.rowcount
