"""Options: JSON values under a name, for what an administrator or the program itself keeps."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.store import tables
from sub2api.store.rows import insert_into

options = tables.options


async def get(connection: AsyncConnection, key: str) -> Any:
    """Return the value kept under `key`, None when there is none."""
    statement = select(options.c.value).where(options.c.key == key)
    return (await connection.execute(statement)).scalar()


async def set(connection: AsyncConnection, key: str, value: Any) -> None:
    """Keep a JSON value (not None) under `key`, in place of an earlier one."""
    statement = insert_into(connection, options).values(key=key, value=value)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[options.c.key], set_={"value": statement.excluded.value}
        )
    )


async def delete(connection: AsyncConnection, key: str) -> None:
    """Forget what is kept under `key`; nothing there is fine."""
    await connection.execute(options.delete().where(options.c.key == key))
