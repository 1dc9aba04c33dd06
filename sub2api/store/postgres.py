"""Postgres as we use it: a pool of connections, each transaction with all that it needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import NullPool

from sub2api.errors import SettingsError, StoreError
from sub2api.settings.keys import Database as DatabaseSettings
from sub2api.store import stamp
from sub2api.store.database import Database
from sub2api.store.engine import BUSY_SECONDS, parsed
from sub2api.store.postgres_engine import (
    engine_for,
    is_in_the_way,
    lock,
    lock_timeout,
    opening,
    quoted,
)

MIGRATION_WAIT_SECONDS = 600.0
"""How long a start waits for another process that migrates."""
MIGRATION_LOCK_SECONDS = 4.0
"""How long a migration waits for a table: everybody who wants it queues up behind the migration."""
_ANSWER_SECONDS = 5.0
"""How much later than the server's own limit a statement is given up."""


class PostgresDatabase(Database):
    """A schema of a Postgres database."""

    def __init__(self, url: str, settings: DatabaseSettings) -> None:
        idle = min(settings.max_idle_conns, settings.max_open_conns)
        limit = settings.statement_timeout
        self._engine = engine_for(
            url,
            command_seconds=max(limit, BUSY_SECONDS) + _ANSWER_SECONDS,
            pool_size=idle,
            max_overflow=settings.max_open_conns - idle,
            pool_timeout=BUSY_SECONDS,
            pool_recycle=settings.conn_max_lifetime_minutes * 60 or -1,
        )
        schema = settings.schema
        begin = partial(opening, schema, statement_seconds=limit, lock_seconds=BUSY_SECONDS)
        beside = begin()
        snapshot = begin(mode="ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._beside = self._engine.execution_options(opening=beside)
        self._alone = self._engine.execution_options(opening=f"{beside}; {lock(schema, 'write')}")
        self._snapshot = self._engine.execution_options(opening=snapshot)
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, url: str, settings: DatabaseSettings) -> PostgresDatabase:
        """Connect, once, to see that it works. Raises SettingsError when it does not."""
        database = cls(url, settings)
        try:
            await database.data_version()
        except StoreError as error:
            await database.close()
            raise SettingsError(f"{_named(url)} cannot be used: {error}") from error
        except BaseException:
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Close all connections. Whoever is inside a block must have left it."""
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self, *, alone: bool = True) -> AsyncIterator[AsyncConnection]:
        """Give a connection that writes: see `Database.transaction`."""
        # Tasks wait here rather than at the lock, each with a connection that others could use.
        turn = self._turn if alone else nullcontext()
        async with turn, _begun(self._alone if alone else self._beside) as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection that sees one snapshot and cannot write."""
        async with _begun(self._snapshot) as connection:
            yield connection

    async def data_version(self) -> int:
        """Return the configuration stamp: LISTEN would not reach us through a pooler."""
        async with self.reading() as connection:
            return await stamp.read(connection)


@asynccontextmanager
async def migrating(url: str, settings: DatabaseSettings) -> AsyncIterator[AsyncConnection]:
    """Give a connection in the transaction that migrates; the schema is made if it is not there.

    Waits for another process that migrates. Raises SettingsError, or StoreError (transient) when a
    table was not free for a moment: nothing has happened then, and it can be tried again.
    """
    schema = settings.schema
    begin = "; ".join(
        [
            opening(schema, lock_seconds=MIGRATION_WAIT_SECONDS, idle_seconds=0),
            lock(schema, "migrate"),
            lock_timeout(MIGRATION_LOCK_SECONDS),
        ]
    )
    async with _only_connection(url, begin) as connection:
        known = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
        if (await connection.execute(known, {"name": schema})).scalar() is None:
            await connection.execute(text(f"CREATE SCHEMA {quoted(schema)}"))
        try:
            yield connection
        except StoreError as error:
            if is_in_the_way(error):
                raise
            raise SettingsError(f"{_named(url)} cannot be migrated: {error}") from error


@asynccontextmanager
async def looking(url: str, settings: DatabaseSettings) -> AsyncIterator[AsyncConnection]:
    """Give a connection that only reads, whether or not there is a schema yet."""
    begin = opening(settings.schema, mode="READ ONLY", lock_seconds=MIGRATION_LOCK_SECONDS)
    async with _only_connection(url, begin) as connection:
        yield connection


@asynccontextmanager
async def _only_connection(url: str, begin: str) -> AsyncIterator[AsyncConnection]:
    engine = engine_for(url, poolclass=NullPool)
    begun = engine.execution_options(opening=begin).begin()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        try:
            connection = await stack.enter_async_context(begun)
        except StoreError as error:
            raise SettingsError(f"{_named(url)} cannot be used: {error}") from error
        yield connection


@asynccontextmanager
async def _begun(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    try:
        async with engine.begin() as connection:
            yield connection
    except exc.TimeoutError as error:
        raise StoreError("all connections to the database are busy", transient=True) from error


def _named(url: str) -> str:
    """Return what a message may say of a URL: no password."""
    parts = parsed(url)
    return f"the database {parts.database} at {parts.host or parts.query.get('host', 'localhost')}"
