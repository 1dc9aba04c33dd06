"""What every configuration noun does alike: insert, find by name or id, change, delete softly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Table, bindparam, or_, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.clock import Clock
from sub2api.errors import MistakeError, StoreError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

    Insert = postgresql.Insert | sqlite.Insert


def insert_into(connection: AsyncConnection, table: Table) -> Insert:
    """Return the dialect's INSERT, which knows ON CONFLICT."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    return sqlite.insert(table)


@contextmanager
def name_taken(noun: str, name: object) -> Iterator[None]:
    """Turn a violated name constraint into a MistakeError that a person understands."""
    try:
        yield
    except StoreError as error:
        said = str(error).lower()
        if not error.transient and "unique" in said and ("name" in said or "email" in said):
            raise MistakeError(f"there is already {noun} named {name!r}") from error
        raise


@asynccontextmanager
async def by_itself(connection: AsyncConnection) -> AsyncIterator[None]:
    """Let a statement fail without the transaction it is in, as everywhere in SQLite.

    Postgres refuses everything after a failed statement, back to the last savepoint.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    async with connection.begin_nested():
        yield


async def insert_row(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> int:
    """Insert one row and return its new id."""
    async with by_itself(connection):
        result = await connection.execute(table.insert().values(**values).returning(table.c.id))
        return int(result.scalar_one())


async def id_of(connection: AsyncConnection, table: Table, name_or_id: str) -> int | None:
    """Return the id of the live row with this name, else with this id, else None."""
    named = or_(table.c.name == name_or_id, table.c.id == _number(name_or_id))
    statement = select(table.c.id, table.c.name).where(named, is_live(table))
    found = (await connection.execute(statement.order_by(table.c.id.desc()))).all()
    by_name = [row.id for row in found if row.name == name_or_id]
    return next(iter([*by_name, *(row.id for row in found)]), None)


def _number(text: str) -> int:
    # 18 digits fit a BIGINT; ids begin at 1, so 0 finds nothing.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def is_live(table: Table) -> ColumnElement[bool]:
    """The condition that a row is not deleted."""
    return table.c.deleted_at.is_(None)


def only_known(changes: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise ValueError when `changes` has a field that cannot be changed: the program is wrong."""
    unknown = sorted(set(changes) - known)
    if unknown:
        raise ValueError(f"these fields cannot be changed: {', '.join(unknown)}")


async def change_row(
    connection: AsyncConnection, table: Table, row_id: int, values: Mapping[str, Any]
) -> bool:
    """Change columns of a live row; return whether there is one. No values change nothing."""
    live = (table.c.id == row_id, is_live(table))
    if not values:
        return (await connection.execute(select(table.c.id).where(*live))).first() is not None
    async with by_itself(connection):
        result = await connection.execute(update(table).where(*live).values(**values))
    return result.rowcount > 0


async def delete_row(
    connection: AsyncConnection,
    table: Table,
    row_id: int,
    *,
    now: float | None,
    wipe: Mapping[str, Any] | None = None,
) -> bool:
    """Delete a live row softly and set its `wipe` columns; return whether there was one.

    `now` is in seconds since 1970; None is the machine's clock.
    """
    deleted_at = Clock().now() if now is None else now
    values = {**(wipe or {}), "deleted_at": deleted_at}
    return await change_row(connection, table, row_id, values)


async def touch_rows(
    connection: AsyncConnection, table: Table, used_at: Mapping[int, float]
) -> None:
    """Move `last_used_at` forward, never back. Keys are ids, values seconds since 1970."""
    if not used_at:
        return
    last, moment = table.c.last_used_at, bindparam("moment", type_=table.c.last_used_at.type)
    statement = (
        update(table)
        .where(table.c.id == bindparam("row_id"), or_(last.is_(None), last < moment))
        .values(last_used_at=moment)
    )
    # In order of id, so that two processes touching the same rows cannot wait for each other.
    rows = [{"row_id": row_id, "moment": at} for row_id, at in sorted(used_at.items())]
    await connection.execute(statement, rows)
