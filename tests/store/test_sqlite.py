from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from pathlib import Path

import aiosqlite
import pytest

from sub2api.errors import SettingsError, StoreError
from sub2api.store import options, sqlite
from sub2api.store.database import Database
from sub2api.store.sqlite import (
    Purpose,
    SqliteDatabase,
    looking,
    prepare_file,
    sqlite_engine,
    sqlite_path,
)


@pytest.fixture
def url(sqlite_url: str) -> str:
    return sqlite_url


def test_a_sqlite_url_names_its_file() -> None:
    assert sqlite_path("sqlite:////var/lib/x.db") == Path("/var/lib/x.db")
    assert sqlite_path("sqlite+aiosqlite:///x.db") == Path("x.db")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:///x.db?mode=ro&p=hunter2", "must name a file"),
    ],
)
def test_any_other_url_is_refused_without_its_secrets(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        sqlite_path(url)
    assert "hunter2" not in str(caught.value)


def test_the_file_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data" / "x.db"
    prepare_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_file_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.touch()
    path.chmod(0o644)
    prepare_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_many_may_prepare_the_same_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    await asyncio.gather(*(asyncio.to_thread(prepare_file, path) for _ in range(12)))
    prepare_file(path)


def test_a_lock_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")

    async def race() -> None:
        task = asyncio.to_thread(prepare_file, path)
        await asyncio.gather(task, _release(holder))

    asyncio.run(race())
    holder.close()


async def _release(holder: sqlite3.Connection) -> None:
    await asyncio.sleep(0.2)
    holder.execute("COMMIT")


def test_a_lock_held_for_good_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    path = tmp_path / "x.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SettingsError, match=r"cannot be switched to WAL \(database is locked"):
        prepare_file(path)
    holder.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is a text, not a database" * 100)
    with pytest.raises(SettingsError, match="file is not a database"):
        prepare_file(path)


def test_a_directory_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be opened"):
        prepare_file(tmp_path)


@pytest.mark.parametrize(("purpose", "query_only"), [("write", 0), ("read", 1)])
async def test_every_connection_has_its_pragmas(
    tmp_path: Path, purpose: Purpose, query_only: int
) -> None:
    prepare_file(tmp_path / "x.db")
    opened = sqlite_engine(tmp_path / "x.db", purpose, connections=1)
    expected = {
        "busy_timeout": 30_000,
        "synchronous": 1,
        "foreign_keys": 1,
        "query_only": query_only,
        "journal_mode": "wal",
    }
    async with opened.begin() as connection:
        found = {
            name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in expected
        }
    await opened.dispose()
    assert found == expected


async def test_a_writer_holds_the_lock_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    prepare_file(tmp_path / "x.db")
    one = sqlite_engine(tmp_path / "x.db", "write", connections=1)
    other = sqlite_engine(tmp_path / "x.db", "write", connections=1)
    loop = asyncio.get_running_loop()
    async with one.begin():
        started = loop.time()
        with pytest.raises(StoreError, match="locked") as caught:
            async with other.begin():
                pass
        assert caught.value.transient
        assert loop.time() - started >= 0.2
    async with other.begin():
        pass
    await one.dispose()
    await other.dispose()


async def test_watching_a_closed_database_is_a_store_error(url: str, database: Database) -> None:
    closed = await Database.open(url)
    await closed.close()
    with pytest.raises(StoreError, match="watched"):
        await closed.data_version()


async def test_an_unavailable_database_is_a_transient_error(tmp_path: Path) -> None:
    async with aiosqlite.connect(tmp_path / "watched.db") as watcher:
        lost = SqliteDatabase(tmp_path / "gone" / "x.db", watcher)
        with pytest.raises(StoreError, match="unable to open") as caught:
            async with lost.transaction():
                pass
        assert caught.value.transient
        await lost.close()


async def test_a_full_disk_is_a_transient_error(database: Database) -> None:
    async with database.transaction() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar()
        await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="full") as caught:
            await options.set(connection, "large", "x" * 1_000_000)
    assert caught.value.transient


async def test_the_file_is_whole_after_use(database: Database, url: str) -> None:
    async with database.transaction() as connection:
        await options.set(connection, "a", 1)
    with sqlite3.connect(database.path) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    plain.close()


async def test_opening_it_again_in_the_process_drops_no_lock(database: Database, url: str) -> None:
    # A descriptor closed on the file would drop the first object's lock for other processes.
    intrude = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None); "
        "c.execute('BEGIN IMMEDIATE')"
    )
    async with database.transaction() as connection:
        await options.set(connection, "a", 1)
        again = await Database.open(url)
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", intrude, str(database.path), stderr=asyncio.subprocess.PIPE
        )
        _, said = await other.communicate()
    await again.close()
    assert b"database is locked" in said


async def test_looking_makes_no_file_and_writes_nothing(tmp_path: Path, url: str) -> None:
    async with looking(url) as connection:
        assert connection is None
    assert not sqlite_path(url).exists()
    prepare_file(sqlite_path(url))
    async with looking(url) as connection:
        assert connection is not None
        with pytest.raises(StoreError, match="readonly"):
            await connection.exec_driver_sql("CREATE TABLE x (y INTEGER)")
