from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from sub2api.errors import SettingsError, StoreError
from sub2api.store import engine
from sub2api.store.engine import Purpose, prepare_file, sqlite_engine, sqlite_path


def test_a_sqlite_url_names_its_file() -> None:
    assert sqlite_path("sqlite:////var/lib/x.db") == Path("/var/lib/x.db")
    assert sqlite_path("sqlite+aiosqlite:///x.db") == Path("x.db")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense with hunter2", "is not a database URL"),
        ("postgresql://u:hunter2@h/d", "stores in SQLite only"),
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
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
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
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.2)
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
