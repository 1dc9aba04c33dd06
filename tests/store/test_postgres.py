from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from sqlalchemy import text

from sub2api.errors import SettingsError, StoreError
from sub2api.settings import load
from sub2api.settings.keys import Database as DatabaseSettings
from sub2api.store import migrate as migrating
from sub2api.store import options, postgres, stamp
from sub2api.store.database import Database
from sub2api.store.migrate import migrate
from sub2api.store.postgres_engine import quoted
from tests.fakes.pgbouncer import running_pgbouncer
from tests.fakes.plain_sql import fetch, run
from tests.fakes.postgres_server import PostgresServer, running_postgres


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


async def _set(database: Database, key: str, value: object, *, alone: bool = True) -> None:
    async with database.transaction(alone=alone) as connection:
        await options.set(connection, key, value)


async def _get(database: Database, key: str) -> object:
    async with database.reading() as connection:
        return await options.get(connection, key)


@pytest.mark.parametrize("then", ["another statement", "the commit"])
async def test_a_backend_killed_in_mid_transaction_is_a_transient_error_and_the_next_works(
    database: Database, url: str, then: str
) -> None:
    async def write() -> None:
        async with database.transaction() as connection:
            await options.set(connection, "a", 1)
            pid = await connection.scalar(text("SELECT pg_backend_pid()"))
            await run(url, f"SELECT pg_terminate_backend({pid}, 5000)")
            if then == "another statement":
                await options.set(connection, "b", 2)

    with pytest.raises(StoreError) as caught:
        await write()
    assert caught.value.transient
    assert await _get(database, "a") is None
    await _set(database, "c", 3)
    assert await _get(database, "c") == 3


async def test_a_server_that_stops_and_starts_is_waited_for_by_trying_again() -> None:
    with running_postgres() as server:
        name = server.new_database()
        await migrate(server.url(name))
        database = await Database.open(server.url(name))
        await _set(database, "a", 1)
        server.stop()
        for _ in range(3):
            with pytest.raises(StoreError) as caught:
                await _set(database, "a", 2)
            assert caught.value.transient
            with pytest.raises(StoreError):
                await database.data_version()
        server.start()
        assert await _get(database, "a") == 1
        await database.close()


async def test_who_waits_too_long_for_others_gets_a_transient_error(
    database: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "BUSY_SECONDS", 0.1)
    hurried = await Database.open(url)
    async with database.transaction():
        with pytest.raises(StoreError, match="lock timeout") as caught:
            await _set(hurried, "a", 1)
        assert caught.value.transient
        await _set(hurried, "b", 1, alone=False)
    await _set(hurried, "a", 1)
    await hurried.close()


async def test_settings_with_special_characters_reach_the_server(
    database: Database, url: str, postgres_server: PostgresServer
) -> None:
    name, password = url.rpartition("/")[2], "p@ss:w/o?r#d% \"'ü"
    literal = password.replace("'", "''")
    await run(
        url,
        "DROP ROLE IF EXISTS guarded",
        f"CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{literal}'",
    )
    given = {
        "RUN_MODE": "full",
        "DATABASE_HOST": "127.0.0.1",
        "DATABASE_PORT": str(postgres_server.port),
        "DATABASE_USER": "guarded",
        "DATABASE_PASSWORD": password,
        "DATABASE_DBNAME": name,
    }
    settings = load(environ=given).database
    opened = await Database.open(settings.url, settings)
    assert await opened.data_version() == await database.data_version()
    await opened.close()
    wrong = load(environ=given | {"DATABASE_PASSWORD": "hunter2"}).database
    with pytest.raises(SettingsError, match="password authentication failed") as caught:
        await Database.open(wrong.url, wrong)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError, match="password authentication failed"):
        await migrate(wrong.url, wrong)


async def test_a_socket_leads_to_the_server_too(
    database: Database, url: str, postgres_server: PostgresServer
) -> None:
    given = {
        "DATABASE_HOST": str(postgres_server.folder),
        "DATABASE_PORT": str(postgres_server.port),
        "DATABASE_USER": "tester",
        "DATABASE_DBNAME": url.rpartition("/")[2],
    }
    settings = load(environ=given).database
    opened = await Database.open(settings.url, settings)
    assert await opened.data_version() == await database.data_version()
    await opened.close()


async def test_a_database_without_tables_or_server_cannot_be_opened(url: str) -> None:
    with pytest.raises(SettingsError, match=r"cannot be used: .*config_stamp"):
        await Database.open(url)
    with pytest.raises(SettingsError, match=r"database x at 127\.0\.0\.1 cannot be used") as caught:
        await Database.open("postgresql://u:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)


async def test_tables_live_in_the_schema_that_is_asked_for(url: str) -> None:
    own = DatabaseSettings(schema='my "own"')
    await migrate(url, own)
    await migrate(url, own)
    assert await fetch(url, "SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []
    assert await migrating.missing_sql(url, own) == ""
    assert "CREATE TABLE usage" in await migrating.missing_sql(url)
    await migrate(url)
    one, other = await Database.open(url, own), await Database.open(url)
    versions = [await one.data_version(), await other.data_version()]
    await _set(one, "a", 1)
    assert await _get(other, "a") is None
    # By hand, in a session that knows nothing of the schema: its own stamp moves.
    table = f"{quoted(own.schema)}.options"
    await run(url, f"UPDATE {table} SET value = '2' WHERE key = 'a'")  # noqa: S608
    assert [await one.data_version(), await other.data_version()] == [versions[0] + 2, versions[1]]
    await one.close()
    await other.close()


@pytest.fixture
async def in_use(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncpg.transaction.Transaction]:
    """A table that a migration needs is used by a transaction that does not end."""
    monkeypatch.setattr(postgres, "MIGRATION_LOCK_SECONDS", 0.05)
    monkeypatch.setattr(migrating, "PAUSE_SECONDS", 0.05)
    await run(url, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    holder = await asyncpg.connect(url)
    held = holder.transaction()
    await held.start()
    await holder.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
    yield held
    await holder.close()


@pytest.mark.usefixtures("in_use")
async def test_a_migration_does_not_wait_for_ever_behind_others(url: str) -> None:
    with pytest.raises(SettingsError, match=r"cannot be migrated while others use it: .*lock"):
        await migrate(url)


async def test_a_migration_with_others_in_its_way_for_a_moment_is_tried_again(
    url: str, in_use: asyncpg.transaction.Transaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "TRIES", 1000)
    task = asyncio.create_task(migrate(url))
    await asyncio.sleep(0.3)
    assert not task.done()
    await in_use.rollback()
    await task
    assert await migrating.missing_sql(url) == ""


async def test_a_row_of_the_stamp_moves_once_in_a_transaction(database: Database) -> None:
    async with database.transaction() as connection:
        before = await stamp.read(connection)
        for number in range(20):
            await options.set(connection, f"n{number}", number)
        assert await stamp.read(connection) == before + 1


async def test_the_ledger_cannot_be_emptied(database: Database, url: str) -> None:
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await run(url, "TRUNCATE ledger_entries")


# Through PgBouncer


@pytest.fixture(scope="module")
def bouncer(postgres_server: PostgresServer) -> Iterator[int]:
    with running_pgbouncer(postgres_server) as port:
        yield port


@pytest.fixture
async def pooled(url: str, bouncer: int) -> AsyncIterator[list[Database]]:
    """Two processes' worth of connections, far more than the pooler has."""
    address = url.rpartition("/")[2]
    through = f"postgresql://tester@127.0.0.1:{bouncer}/{address}"
    settings = dataclasses.replace(DatabaseSettings(), schema="pooled", max_idle_conns=10)
    await migrate(through, settings)
    opened = [await Database.open(through, settings) for _ in range(2)]
    yield opened
    for each in opened:
        await each.close()


async def test_all_works_through_a_pooler_of_transactions(pooled: list[Database]) -> None:
    await _set(pooled[0], "counter", 0)

    async def count(database: Database, number: int) -> None:
        for _ in range(25):
            async with database.transaction() as connection:
                seen = await options.get(connection, "counter")
                await options.set(connection, "counter", seen + 1)
                kept = await connection.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
                assert kept == 0
            await _set(database, f"own{number}", number, alone=False)
            assert await _get(database, f"own{number}") == number
            await database.data_version()

    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(count(pooled[number % 2], number))
    assert await _get(pooled[1], "counter") == 8 * 25
