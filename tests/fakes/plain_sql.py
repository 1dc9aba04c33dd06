"""SQL on a database of either kind, past everything that the program does."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing

import asyncpg

from sub2api.store.sqlite import sqlite_path


async def run(url: str, *statements: str) -> None:
    """Run statements, each by itself."""
    for statement in statements:
        await fetch(url, statement)


async def fetch(url: str, statement: str) -> list[tuple[object, ...]]:
    """Run a statement and return its rows."""
    if url.startswith("sqlite"):
        return await asyncio.to_thread(_fetch_of_file, url, statement)
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def _fetch_of_file(url: str, statement: str) -> Sequence[tuple[object, ...]]:
    with closing(sqlite3.connect(sqlite_path(url))) as connection, connection:
        return connection.execute(statement).fetchall()
