"""SQLAlchemy engines as we use them: SQLite files in WAL mode, errors as `StoreError`."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sub2api.errors import SettingsError, StoreError

BUSY_SECONDS = 30.0
"""How long a statement waits for another process's write before it fails as `StoreError`."""

Purpose = Literal["write", "read"]


# No connection of this process exists before its file was prepared, and nobody prepares meanwhile.
_preparing = threading.Lock()


def sqlite_path(url: str) -> Path:
    """Return the file that a `sqlite:///path` URL names. Raises SettingsError for any other URL.

    The URL may hold a password, so it is never part of the message.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("database.url is not a database URL such as sqlite:///path") from None
    if parsed.get_backend_name() != "sqlite":
        raise SettingsError(
            f"database.url names {parsed.get_backend_name()!r}: this release stores in SQLite only"
        )
    if parsed.database in {None, "", ":memory:"} or parsed.query:
        raise SettingsError("database.url must name a file, as sqlite:///path does")
    return Path(str(parsed.database))


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
