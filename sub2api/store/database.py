"""The database as the rest of the program sees it: writers, readers, a cheap wake-up.

    async with database.transaction() as connection:   # all or nothing, one at a time
        await accounts.change(connection, sealer, 7, {"priority": 10})
    async with database.reading() as connection:       # one snapshot, beside the writers
        rows = await usage.recent(connection, 50)

Inside either block only `StoreError` is raised for what the database did. `sqlite.py` and
`postgres.py` are the two kinds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.settings.keys import Database as DatabaseSettings
from sub2api.store.engine import kind_of

Connection = AsyncConnection
"""What statements run on, under a name that other rooms may use."""


class Database(ABC):
    """An open database. Make it with `await Database.open(url)`, end it with `await close()`."""

    @staticmethod
    async def open(url: str, settings: DatabaseSettings | None = None) -> Database:
        """Open the database at `url`; run `migrate(url)` first.

        `settings` say how many connections to Postgres there may be, for how long a statement may
        run, and in which schema the tables are; SQLite needs none. Raises SettingsError when the
        URL, the file or the server cannot be used.
        """
        # Imported here: who stores in one kind need not pay for the other's driver.
        if kind_of(url) == "sqlite":
            from sub2api.store.sqlite import SqliteDatabase

            return await SqliteDatabase.open_file(url)
        from sub2api.store.postgres import PostgresDatabase

        return await PostgresDatabase.connect(url, settings or DatabaseSettings())

    @abstractmethod
    async def close(self) -> None:
        """Close all connections. Whoever is inside a block must have left it."""

    @abstractmethod
    def transaction(self, *, alone: bool = True) -> AbstractAsyncContextManager[AsyncConnection]:
        """Give a connection that writes; commit at the end, roll back on any error.

        `alone`: no other such transaction runs meanwhile, in any process, so that what was read
        stays true until it is written; tasks of this process take turns first come first served.
        Not alone, every statement must be safe by itself: an upsert, an insert-once, a
        compare-and-set, rows in order of their keys. SQLite runs all of them alone.

        Raises StoreError, transient when others did not make room within 30 s.
        """

    @abstractmethod
    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Give a connection that sees one snapshot and cannot write."""

    @abstractmethod
    async def data_version(self) -> int:
        """Return a number that differs after anyone changed the configuration.

        It may differ after other commits too: it says that something changed, not what.
        """
