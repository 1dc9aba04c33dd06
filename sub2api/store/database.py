"""The database as the rest of the program sees it: one writer, many readers, a cheap wake-up.

    async with database.transaction() as connection:   # all or nothing, one at a time
        await accounts.change(connection, sealer, 7, {"priority": 10})
    async with database.reading() as connection:       # one snapshot, beside the writer
        rows = await usage.recent(connection, 50)

Inside either block only `StoreError` is raised for what the database did.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.errors import StoreError
from sub2api.store.engine import BUSY_SECONDS, prepare_file, sqlite_engine, sqlite_path

READERS = 4

Connection = AsyncConnection
"""What statements run on, under a name that other rooms may use."""


class Database:
    """An open database. Make it with `await Database.open(url)`, end it with `await close()`."""

    def __init__(self, path: Path, watcher: aiosqlite.Connection) -> None:
        self.path = path
        self._watcher = watcher
        self._writer = sqlite_engine(path, "write", connections=1)
        self._readers = sqlite_engine(path, "read", connections=READERS)
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, url: str) -> Database:
        """Open the database at `url` (`sqlite:///path`); run `migrate(url)` first.

        Raises SettingsError when the URL or the file cannot be used.
        """
        path = sqlite_path(url)
        await asyncio.to_thread(prepare_file, path)
        watcher = await aiosqlite.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        return cls(path, watcher)

    async def close(self) -> None:
        """Close all connections. Whoever is inside a block must have left it."""
        await self._writer.dispose()
        await self._readers.dispose()
        await self._watcher.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Give the one writing connection; commit at the end, roll back on any error.

        Tasks of this process take turns first come first served. Raises StoreError (transient)
        when another process keeps the database locked for 30 s.
        """
        async with self._turn, self._writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection that sees one snapshot and cannot write."""
        try:
            async with self._readers.begin() as connection:
                yield connection
        except exc.TimeoutError as error:
            raise StoreError("all readers of the database are busy", transient=True) from error

    async def data_version(self) -> int:
        """Return a number that differs after anyone's commit. It says that, not what, changed."""
        try:
            async with self._watcher.execute("PRAGMA data_version") as cursor:
                row = await cursor.fetchone()
        except (aiosqlite.Error, ValueError) as error:
            raise StoreError("the database cannot be watched", transient=True) from error
        return int(row[0]) if row else 0
