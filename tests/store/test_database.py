from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from pathlib import Path

import aiosqlite
import pytest
from sqlalchemy import func, insert, select, text

from sub2api.errors import StoreError
from sub2api.store import options, stamp, tables
from sub2api.store.database import READERS, Database

COUNTER = """
import asyncio, sys
from sub2api.store import options
from sub2api.store.database import Database

async def count(database):
    for _ in range(50):
        async with database.transaction() as connection:
            seen = await options.get(connection, "counter")
            await options.set(connection, "counter", seen + 1)

async def main():
    database = await Database.open(sys.argv[1])
    await asyncio.gather(*(count(database) for _ in range(int(sys.argv[2]))))
    await database.close()

asyncio.run(main())
"""


async def _count(database: Database, times: int) -> None:
    for _ in range(times):
        async with database.transaction() as connection:
            seen = await options.get(connection, "counter")
            await options.set(connection, "counter", seen + 1)


async def test_read_then_write_loses_nothing_across_tasks_objects_and_processes(
    database: Database, url: str
) -> None:
    async with database.transaction() as connection:
        await options.set(connection, "counter", 0)
    second = await Database.open(url)
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", COUNTER, url, "2", stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.TaskGroup() as tasks:
        for each in (database, database, database, second, second, second):
            tasks.create_task(_count(each, 50))
        _, said = await tasks.create_task(other.communicate())
    await second.close()
    assert (other.returncode, said) == (0, b"")
    async with database.reading() as connection:
        assert await options.get(connection, "counter") == 8 * 50


async def test_an_error_rolls_everything_back(database: Database) -> None:
    async def write_and_fail() -> None:
        async with database.transaction() as connection:
            await options.set(connection, "a", 1)
            raise RuntimeError("oops")

    with pytest.raises(RuntimeError, match="oops"):
        await write_and_fail()
    async with database.reading() as connection:
        assert await options.get(connection, "a") is None


async def test_a_cancelled_transaction_leaves_nothing_behind(database: Database) -> None:
    inside = asyncio.Event()

    async def write_and_wait() -> None:
        async with database.transaction() as connection:
            await options.set(connection, "a", 1)
            inside.set()
            await asyncio.sleep(60)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(write_and_wait())
        await inside.wait()
        task.cancel()
    async with database.transaction() as connection:
        assert await options.get(connection, "a") is None
        await options.set(connection, "b", 2)
    async with database.reading() as connection:
        assert await options.get(connection, "b") == 2


async def test_cancelling_at_any_step_never_breaks_the_writer(database: Database) -> None:
    async def write() -> None:
        async with database.transaction() as connection:
            for number in range(5):
                await options.set(connection, f"n{number}", number)

    for steps in range(60):
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(write())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
    async with database.reading() as connection:
        kept = await connection.execute(select(func.count()).where(tables.options.c.key.like("n_")))
        assert kept.scalar() in {0, 5}
    await write()


async def test_writers_take_turns_first_come_first_served(database: Database) -> None:
    order: list[int] = []

    async def write(number: int) -> None:
        async with database.transaction():
            order.append(number)
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(write(number))
    assert order == list(range(20))


async def test_a_reader_sees_one_snapshot_and_never_waits_for_the_writer(
    database: Database,
) -> None:
    async with database.reading() as reader:
        before = await stamp.read(reader)
        async with database.transaction() as writer:
            await options.set(writer, "a", 1)
            assert await stamp.read(reader) == before
        assert await stamp.read(reader) == before
    async with database.reading() as reader:
        assert await stamp.read(reader) > before


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError, match="readonly"):
        async with database.reading() as connection:
            await options.set(connection, "a", 1)


async def test_more_readers_than_connections_wait_their_turn(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read() -> int:
        async with database.reading() as connection:
            await asyncio.sleep(0.01)
            return await stamp.read(connection)

    seen = await asyncio.gather(*(read() for _ in range(READERS * 3)))
    assert len(set(seen)) == 1


async def test_readers_that_never_finish_are_a_transient_error(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sub2api.store.engine.BUSY_SECONDS", 0.1)
    hurried = await Database.open(url)
    held = [hurried.reading() for _ in range(READERS)]
    for each in held:
        await each.__aenter__()
    with pytest.raises(StoreError, match="busy") as caught:
        async with hurried.reading():
            pass
    assert caught.value.transient
    for each in held:
        await each.__aexit__(None, None, None)
    await hurried.close()


async def test_the_data_version_moves_with_anyones_commit_only(
    database: Database, url: str
) -> None:
    start = await database.data_version()
    assert await database.data_version() == start
    async with database.transaction() as connection:
        await options.set(connection, "a", 1)
    after_own = await database.data_version()
    assert after_own != start
    other = await Database.open(url)
    async with other.transaction() as connection:
        await options.set(connection, "a", 2)
    await other.close()
    assert await database.data_version() != after_own


async def test_the_data_version_is_cheap(database: Database) -> None:
    started = time.perf_counter()
    for _ in range(100):
        await database.data_version()
    assert time.perf_counter() - started < 1.0


async def test_watching_a_closed_database_is_a_store_error(url: str, database: Database) -> None:
    closed = await Database.open(url)
    await closed.close()
    with pytest.raises(StoreError, match="watched"):
        await closed.data_version()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"key": "same", "value": 1}, "UNIQUE"),
        ({"key": None, "value": 1}, "NOT NULL"),
        ({"key": "lone surrogate \ud800", "value": 1}, "UnicodeEncodeError"),
        ({"key": object(), "value": 1}, "type"),
        ({"key": "x", "value": object()}, "TypeError"),
    ],
)
async def test_impossible_values_are_a_lasting_error_without_the_values(
    database: Database, values: dict[str, object], kind: str
) -> None:
    async with database.transaction() as connection:
        await options.set(connection, "same", "hunter2")
    with pytest.raises(StoreError, match=kind) as caught:
        async with database.transaction() as connection:
            await connection.execute(insert(tables.options), [values])
    assert not caught.value.transient
    assert "hunter2" not in str(caught.value)
    assert "surrogate" not in str(caught.value)


async def test_a_number_too_large_is_a_lasting_error(database: Database) -> None:
    with pytest.raises(StoreError, match="OverflowError") as caught:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT :n"), {"n": 2**70})
    assert not caught.value.transient


async def test_an_unavailable_database_is_a_transient_error(tmp_path: Path) -> None:
    async with aiosqlite.connect(tmp_path / "watched.db") as watcher:
        lost = Database(tmp_path / "gone" / "x.db", watcher)
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
