from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from sub2api.errors import SettingsError, StoreError
from sub2api.store import postgres_engine
from sub2api.store.postgres_engine import engine_for, lock, opening, quoted, store_error
from tests.fakes.postgres_server import PostgresServer

LIMITS = ("search_path", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    begin = opening("public", statement_seconds=5, lock_seconds=4, idle_seconds=3)
    made = engine_for(postgres_url, pool_size=1, max_overflow=0)
    yield made.execution_options(opening=begin)
    await made.dispose()


async def test_a_transaction_has_its_schema_and_limits_and_leaves_none_behind(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        inside = [await connection.scalar(text(f"SHOW {name}")) for name in LIMITS]
    after = [await raw.fetchval(f"SHOW {name}") for name in LIMITS]
    assert inside == ["public", "5s", "4s", "3s"]
    assert after == ['"$user", public', "0", "0", "0"]
    assert await raw.fetchval("SELECT count(*) FROM pg_prepared_statements") == 0


async def test_a_statement_that_takes_too_long_is_a_transient_error(engine: AsyncEngine) -> None:
    hurried = engine.execution_options(opening=opening("public", statement_seconds=0.05))
    with pytest.raises(StoreError, match="statement timeout") as caught:
        async with hurried.begin() as connection:
            await connection.execute(text("SELECT pg_sleep(20)"))
    assert caught.value.transient
    async with engine.begin() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1


async def test_going_on_after_a_failed_statement_saves_nothing_and_says_so(
    engine: AsyncEngine,
) -> None:
    async def go_on() -> None:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE x (y INTEGER)"))
            with pytest.raises(StoreError, match="DivisionByZero"):
                await connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(StoreError, match="nothing was saved"):
        await go_on()
    async with engine.begin() as connection:
        assert await connection.scalar(text("SELECT to_regclass('x')")) is None


async def test_a_connection_that_ended_meanwhile_is_replaced_unnoticed(
    engine: AsyncEngine, postgres_url: str
) -> None:
    async with engine.begin() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        ended = await connection.scalar(text("SELECT pg_backend_pid()"))
    assert raw is not None
    killer = await asyncpg.connect(postgres_url)
    await killer.execute(f"SELECT pg_terminate_backend({ended}, 5000)")
    await killer.close()
    while not raw.is_closed():
        await asyncio.sleep(0.001)
    async with engine.begin() as connection:
        assert await connection.scalar(text("SELECT pg_backend_pid()")) != ended


async def test_a_server_that_is_too_old_is_refused(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_engine, "_OLDEST", 99)
    with pytest.raises(SettingsError, match=r"Postgres \d+ is too old: 99 or newer is needed"):
        async with engine.begin():
            pass


@pytest.mark.parametrize(
    ("query", "error", "said"),
    [
        ("?sslmode=require", StoreError, "the database is away: .*SSL"),
        ("?sslmode=sometimes", SettingsError, "sslmode"),
    ],
)
async def test_encryption_is_as_asked_for(
    postgres_url: str, query: str, error: type[Exception], said: str
) -> None:
    engine = engine_for(postgres_url + query).execution_options(opening=opening("public"))
    with pytest.raises(error, match=said) as caught:
        async with engine.begin():
            pass
    assert ":tester" not in str(caught.value)
    await engine.dispose()


async def test_a_server_that_is_not_there_is_a_transient_error() -> None:
    engine = engine_for("postgresql://u:hunter2@127.0.0.1:1/d")
    with pytest.raises(StoreError, match=r"the database is away: .*Connect") as caught:
        async with engine.execution_options(opening=opening("public")).begin():
            pass
    assert caught.value.transient
    assert "hunter2" not in str(caught.value)
    await engine.dispose()


async def test_a_database_that_does_not_exist_is_an_error_that_names_it(
    postgres_server: PostgresServer,
) -> None:
    engine = engine_for(postgres_server.url("nowhere"))
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        async with engine.execution_options(opening=opening("public")).begin():
            pass
    await engine.dispose()


@pytest.mark.parametrize(
    ("error", "said", "transient"),
    [
        (asyncpg.DeadlockDetectedError("deadlock detected"), "deadlock", True),
        (asyncpg.SerializationError("could not serialize"), "serialize", True),
        (asyncpg.TooManyConnectionsError("too many clients"), "too many", True),
        (asyncpg.LockNotAvailableError("lock timeout"), "lock timeout", True),
        (asyncpg.AdminShutdownError("terminating"), "terminating", True),
        (asyncpg.DiskFullError("no space"), "no space", True),
        (asyncpg.ReadOnlySQLTransactionError("read-only"), "read-only", True),
        (asyncpg.UndefinedTableError("no table"), "no table", True),
        (asyncpg.ConnectionDoesNotExistError("closed"), "closed", True),
        (asyncpg.InterfaceError("connection is closed"), "closed", True),
        (TimeoutError(), "no answer", True),
        (ConnectionResetError("reset"), "reset", True),
        (asyncpg.UniqueViolationError("unique constraint"), "unique", False),
        (asyncpg.CheckViolationError("check"), "check", False),
        (asyncpg.NumericValueOutOfRangeError("hunter2"), "NumericValueOutOfRange", False),
        (asyncpg.CharacterNotInRepertoireError("hunter2"), "CharacterNotIn", False),
        (asyncpg.exceptions._base.DataError("hunter2"), "DataError", False),
        (UnicodeEncodeError("utf-8", "hunter2", 0, 1, "x"), "UnicodeEncodeError", False),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_error_says_whether_the_same_may_work_later(
    error: Exception, said: str, transient: bool
) -> None:
    found = store_error(error)
    assert found is not None
    assert said in str(found)
    assert "hunter2" not in str(found)
    assert found.transient == transient
    wrapped = RuntimeError("SQLAlchemy's own")
    wrapped.__cause__ = error
    if isinstance(error, asyncpg.PostgresError):
        assert str(store_error(wrapped)) == str(found)


def test_our_own_errors_and_cancellation_pass() -> None:
    assert store_error(StoreError("x", transient=True)) is None
    assert store_error(SettingsError("x")) is None
    assert store_error(KeyboardInterrupt()) is None


def test_a_lock_belongs_to_its_schema_and_purpose() -> None:
    taken = {lock(schema, purpose) for schema in ("a", "b") for purpose in ("write", "migrate")}
    assert len(taken) == 4
    assert lock("a", "write") == lock("a", "write")


def test_any_name_is_an_identifier() -> None:
    assert quoted('my "own"') == '"my ""own"""'
