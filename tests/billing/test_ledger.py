from __future__ import annotations

import asyncio
import contextlib
import logging
import stat
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from sub2api.billing import ledger, segments
from sub2api.billing.journal import Journal
from sub2api.billing.ledger import Shipper, StoreSink
from sub2api.billing.records import Binding, Close
from sub2api.clock import Clock
from sub2api.errors import StoreError
from sub2api.model.usage import FailedAttempt
from sub2api.store import api_keys, attempts, bindings, spending, usage
from sub2api.store.database import Database
from sub2api.store.migrate import migrate

AWAY = StoreError("the database refused: gone", transient=True)
NOUNS: dict[spending.Noun, int] = {"key": 2, "user": 1, "account": 3, "group": 4}
NEVER = StoreError("the database refused: CHECK constraint failed", transient=False)


class Sink:
    """Books in memory; refuses what and while it is told to."""

    def __init__(self) -> None:
        self.booked: dict[str, Close] = {}
        self.batches: list[int] = []
        self.times: list[float] = []
        self.poison: set[str] = set()
        self.trouble: Exception | None = None

    async def write(self, closes: Sequence[Close]) -> None:
        await asyncio.sleep(0)
        self.batches.append(len(closes))
        self.times.append(asyncio.get_running_loop().time())
        if self.trouble is not None:
            raise self.trouble
        if self.poison & {close.call_id for close in closes}:
            raise NEVER
        for close in closes:
            self.booked.setdefault(close.call_id, close)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    made = Journal(tmp_path / "journal", Clock())
    yield made
    await made.aclose()


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def shipper(journal: Journal, sink: Sink) -> Shipper:
    return Shipper(journal, sink, Clock())


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    file = f"sqlite:///{tmp_path}/sub2api.db"
    return file if request.param == "sqlite" else request.getfixturevalue("migrated_url")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    await migrate(url)
    opened = await Database.open(url)
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_BACKOFF_FIRST", 0.01)
    monkeypatch.setattr(ledger, "_BACKOFF_MOST", 0.02)


@contextlib.asynccontextmanager
async def running(shipper: Shipper) -> AsyncIterator[None]:
    task = asyncio.create_task(shipper.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def close_many(journal: Journal, calls: Any, count: int) -> list[str]:
    names = [calls.new_id() for _ in range(count)]
    for name in names:
        journal.close(calls.close(name))
    return names


async def test_a_close_is_booked_and_leaves_the_journal(
    journal: Journal, sink: Sink, shipper: Shipper, calls: Any
) -> None:
    async with running(shipper):
        [name] = close_many(journal, calls, 1)
        await until(lambda: not journal.backlog)
    assert sink.booked.keys() == {name}


async def test_closes_are_booked_in_batches(
    journal: Journal, sink: Sink, shipper: Shipper, calls: Any
) -> None:
    names = close_many(journal, calls, 1201)
    async with running(shipper):
        await until(lambda: not journal.backlog)
    assert sink.batches == [500, 500, 201]
    assert list(sink.booked) == names


async def test_who_is_far_behind_catches_up_in_large_batches(
    journal: Journal, sink: Sink, shipper: Shipper, calls: Any
) -> None:
    large = ledger.LARGE_BATCH_ROWS
    close_many(journal, calls, large + ledger.BATCH_ROWS + 1)
    assert await shipper.drain(30)
    assert sink.batches == [large, ledger.BATCH_ROWS, 1]


async def test_between_two_small_batches_there_is_a_pause(
    journal: Journal, sink: Sink, shipper: Shipper, calls: Any
) -> None:
    async with running(shipper):
        close_many(journal, calls, 1)
        await until(lambda: len(sink.booked) == 1)
        close_many(journal, calls, 5)
        await until(lambda: len(sink.booked) == 6)
    assert sink.batches == [1, 5]
    assert sink.times[1] - sink.times[0] > 0.04


@pytest.mark.parametrize("trouble", [AWAY, RuntimeError("a driver's bug")])
async def test_while_the_database_is_away_nothing_is_lost_and_the_log_is_quiet(
    journal: Journal,
    sink: Sink,
    shipper: Shipper,
    calls: Any,
    caplog: pytest.LogCaptureFixture,
    trouble: Exception,
) -> None:
    sink.trouble = trouble
    names = close_many(journal, calls, 3)
    async with running(shipper):
        await until(lambda: len(sink.batches) > 4)
        assert journal.backlog == 3
        sink.trouble = None
        await until(lambda: not journal.backlog)
        await until(lambda: "can be saved again" in caplog.text)
    assert list(sink.booked) == names
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.ERROR, logging.WARNING]


async def test_a_row_that_can_never_be_booked_is_parked_and_holds_up_nobody(
    journal: Journal, sink: Sink, shipper: Shipper, calls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    names = close_many(journal, calls, 20)
    sink.poison = {names[0], names[13]}
    assert await shipper.drain(5)
    assert sink.booked.keys() == set(names) - sink.poison
    parked = journal.directory / "parked"
    files = sorted(parked.iterdir())
    assert {path.stem for path in files} == sink.poison
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(parked.stat().st_mode) == 0o700
    close = msgspec.json.decode((parked / f"{names[13]}.json").read_bytes(), type=Close)
    assert (close.call_id, close.row.cost) == (names[13], 5)
    assert caplog.text.count("was parked") == 2


async def test_a_parked_file_stays_in_its_directory_whatever_the_call_is_called(
    journal: Journal, sink: Sink, shipper: Shipper, calls: Any
) -> None:
    name = "../../../etc/passwd\x00" + "x" * 500
    journal.close(calls.close(name))
    sink.poison = {name}
    assert await shipper.drain(5)
    [path] = (journal.directory / "parked").iterdir()
    assert path.name.startswith("_________etc_passwd_xxx")
    assert len(path.name) == 105


async def test_a_row_that_cannot_be_parked_stays_pending_and_the_rest_is_booked(
    journal: Journal, sink: Sink, shipper: Shipper, calls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    names = close_many(journal, calls, 4)
    sink.poison = {names[1]}
    (journal.directory / "parked").write_bytes(b"in the way")
    async with running(shipper):
        await until(lambda: len(sink.booked) == 3)
        await until(lambda: caplog.text.count("neither be saved nor parked") > 1)
        assert [close.call_id for close in journal.pending()] == [names[1]]
        (journal.directory / "parked").unlink()
        await until(lambda: not journal.backlog)
    assert len(list((journal.directory / "parked").iterdir())) == 1


async def test_a_dead_process_s_calls_are_booked(
    tmp_path: Path, journal: Journal, sink: Sink, shipper: Shipper, calls: Any
) -> None:
    dead = Journal(tmp_path / "journal", Clock())
    dead.open(calls.open("interrupted"))
    dead.close(calls.close("ended"))
    await dead.aclose()
    async with running(shipper):
        await until(lambda: len(sink.booked) == 2 and not journal.backlog)
        await until(lambda: len(list(journal.directory.glob("*.journal"))) == 1)
    assert sink.booked["interrupted"].row.settled_by == "recovered"


async def test_dead_journals_are_looked_for_again_and_again(
    journal: Journal, sink: Sink, shipper: Shipper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "ADOPT_SECONDS", 0.01)
    async with running(shipper):
        await asyncio.sleep(0.03)
        segments.create(journal.directory, "late", 1).release()
        await until(lambda: len(list(journal.directory.glob("*.journal"))) == 1)


async def test_draining_ships_what_is_pending_beside_the_running_loop(
    journal: Journal, sink: Sink, shipper: Shipper, calls: Any
) -> None:
    async with running(shipper):
        close_many(journal, calls, 1)
        await until(lambda: len(sink.booked) == 1)
        close_many(journal, calls, 700)
        one, two = await asyncio.gather(shipper.drain(5), shipper.drain(5))
    assert one
    assert two
    assert len(sink.booked) == 701
    assert sum(sink.batches) == 701


async def test_draining_gives_up_after_its_time_and_leaves_the_rest_in_the_journal(
    journal: Journal, sink: Sink, shipper: Shipper, calls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sink.trouble = AWAY
    close_many(journal, calls, 2)
    assert not await shipper.drain(0.05)
    assert journal.backlog == 2
    assert "left in the journal" in caplog.text


# The real database


async def rows_of(database: Database) -> list[Any]:
    async with database.reading() as connection:
        return await usage.recent(connection, 5000)


async def test_calls_are_booked_once_however_often_they_are_shipped(
    journal: Journal, database: Database, calls: Any
) -> None:
    shipper = Shipper(journal, StoreSink(database), Clock())
    names = close_many(journal, calls, 1200)
    replay = journal.pending()
    assert await shipper.drain(20)
    await StoreSink(database).write(replay[:700])
    rows = await rows_of(database)
    assert sorted(row.call_id for row in rows) == sorted(names)
    assert sum(row.cost for row in rows) == 1200 * 5


async def test_a_recovered_row_never_replaces_the_real_one(database: Database, calls: Any) -> None:
    sink = StoreSink(database)
    await sink.write([calls.close("a", output_tokens=9)])
    await sink.write([calls.close("a", settled_by="recovered")])
    [row] = await rows_of(database)
    assert (row.settled_by, row.output_tokens) == ("observed", 9)


async def test_a_database_row_is_what_was_closed(database: Database, calls: Any) -> None:
    close = calls.close(
        "a",
        cost=None,
        received={"usage": [1]},
        details={"web_searches": 2},
        error="cut",
        status=499,
    )
    await StoreSink(database).write([close])
    assert await rows_of(database) == [close.row]


async def test_what_was_spent_is_booked_once_however_often_it_is_shipped(
    database: Database, calls: Any
) -> None:
    sink = StoreSink(database)
    failed = FailedAttempt(position=1, account_id=9, cause="burst", started_at=1.5, status=429)
    first = msgspec.structs.replace(calls.close("a", list_cost=7), attempts=[failed])
    twice = calls.close("b")
    await sink.write([first, twice, msgspec.structs.replace(twice)])
    replayed = msgspec.structs.replace(
        first, attempts=[msgspec.structs.replace(failed, position=2)]
    )
    await sink.write([replayed, twice, calls.close("c", account_id=None, group_id=4)])
    async with database.reading() as connection:
        booked = [
            await spending.spent(connection, noun, noun_id, 0, 900)
            for noun, noun_id in NOUNS.items()
        ]
        tried = await attempts.of_call(connection, "a")
        assert await attempts.of_call(connection, "b") == []
    assert booked == [(15, 7), (15, 7), (10, 7), (5, 0)]
    assert tried == [failed]


async def test_a_batch_that_fails_books_nothing_of_what_was_spent(
    database: Database, calls: Any
) -> None:
    broken = msgspec.structs.replace(
        calls.close("a"),
        attempts=[FailedAttempt(position=2**70, account_id=1, cause="x", started_at=1.0)],
    )
    with pytest.raises(StoreError):
        await StoreSink(database).write([broken])
    async with database.reading() as connection:
        assert await spending.spent(connection, "key", 2, 0, 900) == (0, 0)
        assert await usage.recent(connection, 5) == []


async def test_bindings_and_last_used_times_travel_with_the_rows(
    database: Database, calls: Any
) -> None:
    async with database.transaction() as connection:
        owner = "INSERT INTO users (id, email, created_at) VALUES (5, 'a@b', 0)"
        await connection.execute(text(owner))
        await connection.execute(
            text(
                "INSERT INTO api_keys (id, user_id, name, hint, key_hash, key_sealed, created_at)"
                " VALUES (2, 5, 'laptop', 'sk', 'h', 's', 0)"
            )
        )
    first = calls.close("a", started_at=20.0)
    second = calls.close("b", started_at=10.0, account_id=None)
    bound = [Binding(2, "resp_1", 3, 100.0), Binding(2, "resp_2", 3, 100.0)]
    first, second = (
        msgspec.structs.replace(first, bindings=bound),
        msgspec.structs.replace(second, bindings=[Binding(2, "resp_1", 4, 200.0)]),
    )
    await StoreSink(database).write([first, second])
    async with database.reading() as connection:
        assert await bindings.account_of(connection, 2, "resp_1", 150.0) == 4
        assert await bindings.account_of(connection, 2, "resp_2", 50.0) == 3
        [key] = await api_keys.everything(connection)
        assert key.last_used_at == 20.0


async def test_values_that_no_database_can_hold_are_parked(
    journal: Journal, database: Database, calls: Any
) -> None:
    shipper = Shipper(journal, StoreSink(database), Clock())
    good = close_many(journal, calls, 3)
    journal.close(calls.close("huge", output_tokens=2**70))
    good += close_many(journal, calls, 3)
    assert await shipper.drain(10)
    assert sorted(row.call_id for row in await rows_of(database)) == sorted(good)
    assert [path.stem for path in (journal.directory / "parked").iterdir()] == ["huge"]


async def test_a_missing_table_is_waited_for_and_not_parked(
    journal: Journal, database: Database, calls: Any
) -> None:
    shipper = Shipper(journal, StoreSink(database), Clock())
    async with database.transaction() as connection:
        await connection.execute(text("ALTER TABLE usage RENAME TO moved"))
    [name] = close_many(journal, calls, 1)
    assert not await shipper.drain(0.05)
    assert not (journal.directory / "parked").exists()
    async with database.transaction() as connection:
        await connection.execute(text("ALTER TABLE moved RENAME TO usage"))
    assert await shipper.drain(5)
    assert [row.call_id for row in await rows_of(database)] == [name]
