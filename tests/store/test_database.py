from __future__ import annotations

import asyncio
import sys
import time

import pytest
from sqlalchemy import func, insert, select, text

from sub2api.errors import StoreError
from sub2api.model.usage import FailedAttempt, UsageRow
from sub2api.settings.keys import Database as DatabaseSettings
from sub2api.store import attempts, options, spending, stamp, tables, usage
from sub2api.store.database import Database
from sub2api.store.sqlite import READERS

FAILED = FailedAttempt(position=1, account_id=3, cause="burst", started_at=1.0)
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
    with pytest.raises(StoreError, match=r"(?i)read-?only"):
        async with database.reading() as connection:
            await options.set(connection, "a", 1)


async def test_more_readers_than_connections_wait_their_turn(database: Database) -> None:
    async def read() -> int:
        async with database.reading() as connection:
            await asyncio.sleep(0.01)
            return await stamp.read(connection)

    seen = await asyncio.gather(*(read() for _ in range(30)))
    assert len(set(seen)) == 1


def _connections(url: str) -> int:
    return READERS if url.startswith("sqlite") else DatabaseSettings().max_open_conns


async def test_readers_that_never_finish_are_a_transient_error(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sub2api.store.sqlite.BUSY_SECONDS", 0.1)
    monkeypatch.setattr("sub2api.store.postgres.BUSY_SECONDS", 0.1)
    hurried = await Database.open(url)
    held = [hurried.reading() for _ in range(_connections(url))]
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


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"key": "same", "value": 1}, "(?i)unique"),
        ({"key": None, "value": 1}, "(?i)not.?null"),
        ({"key": "lone surrogate \ud800", "value": 1}, "UnicodeEncodeError|DataError"),
        ({"key": object(), "value": 1}, "type|DataError"),
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
    with pytest.raises(StoreError, match=r"OverflowError|DataError") as caught:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT CAST(:n AS BIGINT)"), {"n": 2**70})
    assert not caught.value.transient


async def test_calls_booked_twice_at_the_same_moment_count_once(
    database: Database, url: str
) -> None:
    """Eight writers, two objects as two processes have them: every call is new to exactly one."""
    second = await Database.open(url)
    counted: list[str] = []

    async def book(each: Database, numbers: range) -> None:
        for number in numbers:
            rows = [_row(f"c{number + more}") for more in (2, 0, 1)]
            async with each.transaction(alone=False) as connection:
                new = await usage.insert(connection, rows)
                booked = [row for row in rows if row.call_id in new]
                await spending.book(connection, booked)
                await attempts.insert_many(connection, {row.call_id: [FAILED] for row in booked})
            counted.extend(new)

    async with asyncio.TaskGroup() as tasks:
        for each in (database, second) * 4:
            tasks.create_task(book(each, range(50)))
    await second.close()
    assert sorted(counted) == sorted(f"c{number}" for number in range(52))
    async with database.reading() as connection:
        assert await spending.spent(connection, "key", 2, 0, 900) == (52 * 5, 52 * 7)


def _row(call_id: str) -> UsageRow:
    return UsageRow(
        call_id=call_id,
        user_id=1,
        key_id=2,
        key_name="k",
        wire="chat",
        operation="generate",
        model="m",
        cost=5,
        list_cost=7,
        started_at=1.0,
    )
