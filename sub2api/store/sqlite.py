"""SQLite as we use it: a file in WAL mode, one writer with BEGIN IMMEDIATE, separate readers."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import aiosqlite
from sqlalchemy import Connection, event, exc
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sub2api.errors import SettingsError, StoreError
from sub2api.store.database import Database
from sub2api.store.engine import BUSY_SECONDS, parsed

READERS = 4
Purpose = Literal["write", "read"]

# No connection of this process exists before its file was prepared, and nobody prepares meanwhile.
_preparing = threading.Lock()


def sqlite_path(url: str) -> Path:
    """Return the file that a `sqlite:///path` URL names. SettingsError: it names none."""
    parts = parsed(url)
    if parts.database in {None, "", ":memory:"} or parts.query:
        raise SettingsError("database.url must name a file, as sqlite:///path does")
    return Path(str(parts.database))


class SqliteDatabase(Database):
    """A SQLite file."""

    def __init__(self, path: Path, watcher: aiosqlite.Connection) -> None:
        self.path = path
        self._watcher = watcher
        self._writer = sqlite_engine(path, "write", connections=1)
        self._readers = sqlite_engine(path, "read", connections=READERS)
        self._turn = asyncio.Lock()

    @classmethod
    async def open_file(cls, url: str) -> SqliteDatabase:
        """Open the file that the URL names. Raises SettingsError when it cannot be used."""
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
    async def transaction(self, *, alone: bool = True) -> AsyncIterator[AsyncConnection]:
        """Give the one writing connection: see `Database.transaction`."""
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
        """Return a number that differs after anyone's commit."""
        try:
            async with self._watcher.execute("PRAGMA data_version") as cursor:
                row = await cursor.fetchone()
        except (aiosqlite.Error, ValueError) as error:
            raise StoreError("the database cannot be watched", transient=True) from error
        return int(row[0]) if row else 0


@asynccontextmanager
async def migrating(url: str) -> AsyncIterator[AsyncConnection]:
    """Give a connection in the transaction that migrates; the file is made if it is not there."""
    path = sqlite_path(url)
    await asyncio.to_thread(prepare_file, path)
    engine = sqlite_engine(path, "write", connections=1)
    try:
        # BEGIN IMMEDIATE: what is read about the schema stays true until the commit.
        async with engine.begin() as connection:
            yield connection
    except StoreError as error:
        # Whoever was in the way has had 30 s to end: trying again is of no use.
        raise SettingsError(f"database file {path} cannot be migrated: {error}") from error
    finally:
        await engine.dispose()


@asynccontextmanager
async def looking(url: str) -> AsyncIterator[AsyncConnection | None]:
    """Give a connection that only reads; None when there is no file, which is then not made."""
    path = sqlite_path(url)
    if not path.exists():
        yield None
        return
    engine = sqlite_engine(path, "read", connections=1)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


def prepare_file(path: Path) -> None:
    """Create the database file, private to its owner and in WAL mode; safe to repeat and to race.

    Blocks for milliseconds (longer only while another process starts): call it in a thread.
    Raises SettingsError when the file cannot be made or is no database.
    """
    try:
        with _preparing:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(path)
            _switch_to_wal(path)
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(f"database file {path} cannot be opened: {error}") from error


def _make_private(path: Path) -> None:
    # An existing file must not be opened here: closing a descriptor drops every lock that this
    # process holds on the file, SQLite's among them, and the database would be damaged.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)


def _switch_to_wal(path: Path) -> None:
    # The mode is kept in the file. Switching needs the file alone for a moment and SQLite does
    # not always wait for that by itself, so two processes starting at once must try again.
    deadline = time.monotonic() + BUSY_SECONDS
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        while (mode := _wal_or_why_not(connection)) != "wal":
            if time.monotonic() > deadline:
                raise sqlite3.OperationalError(f"it cannot be switched to WAL ({mode})")
            time.sleep(0.02)
    finally:
        connection.close()


def _wal_or_why_not(connection: sqlite3.Connection) -> str:
    try:
        return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
    except sqlite3.OperationalError as error:
        return str(error)


def sqlite_engine(path: Path, purpose: Purpose, *, connections: int) -> AsyncEngine:
    """Return an engine on a prepared file, with at most `connections` open at once.

    Writers begin with BEGIN IMMEDIATE, so that a transaction that reads before it writes cannot
    fail half-way; readers see one snapshot per transaction and cannot write at all.
    """
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        hide_parameters=True,
        connect_args={"timeout": BUSY_SECONDS},
    )
    begin = "BEGIN IMMEDIATE" if purpose == "write" else "BEGIN"

    def set_up(connection: Any, _record: Any) -> None:
        # None: the driver must not begin transactions on its own; the `begin` event does.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _pragmas(purpose):
            cursor.execute(pragma)
        cursor.close()

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine.sync_engine, "connect", set_up)
    event.listen(engine.sync_engine, "begin", start)
    event.listen(engine.sync_engine, "handle_error", _as_store_error)
    return engine


def _pragmas(purpose: Purpose) -> tuple[str, ...]:
    return (
        f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}",
        # With WAL, NORMAL survives a crash of the process; a power cut may lose the last
        # transactions but corrupts nothing, and the journal replays what it still holds.
        "PRAGMA synchronous = NORMAL",
        "PRAGMA foreign_keys = ON",
        f"PRAGMA query_only = {'ON' if purpose == 'read' else 'OFF'}",
    )


def _as_store_error(context: ExceptionContext) -> StoreError | None:
    """Turn what a statement raised into a StoreError, without its data."""
    original = context.original_exception
    if not isinstance(original, Exception) or isinstance(original, StoreError):
        return None
    transient = isinstance(original, sqlite3.Error) and not isinstance(
        original,
        sqlite3.IntegrityError
        | sqlite3.DataError
        | sqlite3.ProgrammingError
        | sqlite3.InterfaceError,
    )
    said = str(original) if isinstance(original, sqlite3.Error) else type(original).__name__
    return StoreError(f"the database refused: {said}", transient=transient)
