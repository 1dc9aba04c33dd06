"""Many rows in one go, as each driver likes it best: row by row on SQLite, arrays on Postgres.

The statement's text is made once, and values are given as the driver takes them: that is a third of
the time that SQLAlchemy's own way takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Integer, Table
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeDecorator, TypeEngine

Columns = tuple[str, ...]


async def insert(
    connection: AsyncConnection,
    table: Table,
    columns: Columns,
    rows: Sequence[tuple[Any, ...]],
    on_conflict: str,
) -> None:
    """Insert rows. `on_conflict` is what follows ON CONFLICT; for DO UPDATE, sort by the key."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        await connection.exec_driver_sql(_by_arrays(table, columns, on_conflict), _turned(rows))
    else:
        await connection.exec_driver_sql(_by_rows(table, columns, on_conflict), list(rows))


async def insert_new(
    connection: AsyncConnection,
    table: Table,
    columns: Columns,
    rows: Sequence[tuple[Any, ...]],
    key: str,
) -> set[Any]:
    """Insert the rows whose `key` is not there yet (Postgres only); return the keys of these.

    Exactly what this transaction inserted: where another one is about to insert the same key, it
    is waited for. Sort by the key, so that two of them cannot wait for each other.
    """
    statement = _by_arrays(table, columns, f"({key}) DO NOTHING RETURNING {key}")
    return set((await connection.exec_driver_sql(statement, _turned(rows))).scalars())


def _turned(rows: Sequence[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    """Return one list per column, as parameters of one statement."""
    return tuple(list(column) for column in zip(*rows, strict=True))


@lru_cache(32)
def _by_rows(table: Table, columns: Columns, on_conflict: str) -> str:
    marks = ", ".join("?" * len(columns))
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks}) "  # noqa: S608  names of ours
        f"ON CONFLICT {on_conflict}"
    )


@lru_cache(32)
def _by_arrays(table: Table, columns: Columns, on_conflict: str) -> str:
    arrays = ", ".join(
        f"${number}::{_postgres_type(table.c[name])}[]" for number, name in enumerate(columns, 1)
    )
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT * FROM unnest({arrays}) "  # noqa: S608  names of ours
        f"ON CONFLICT {on_conflict}"
    )


def _postgres_type(column: Column[Any]) -> str:
    kind: TypeEngine[Any] = column.type
    if isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    if isinstance(kind, BigInteger):
        return "bigint"
    if isinstance(kind, Integer):
        return "integer"
    return "boolean" if isinstance(kind, Boolean) else "text"
