from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import BigInteger, Connection, Float, Numeric
from sqlalchemy.ext.asyncio import create_async_engine

from sub2api.model.usage import UsageRow
from sub2api.store import tables
from sub2api.store.database import Database
from sub2api.store.migrate import migrate
from tests.fakes.plain_sql import fetch, run


async def test_the_migrations_make_exactly_these_tables(database: Database) -> None:
    def difference(connection: Connection) -> object:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, tables.metadata)

    async with database.reading() as connection:
        assert await connection.run_sync(difference) == []


# What alembic does not compare: defaults, and the conditions of partial indexes.
SQLITE = (
    "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name NOT LIKE 'alembic%'",
    'SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk FROM sqlite_master m '
    "JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'alembic%'",
)
POSTGRES = (
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
    "AND tablename NOT LIKE 'alembic%'",
    "SELECT table_name, column_name, data_type, is_nullable, column_default "
    "FROM information_schema.columns WHERE table_schema = 'public' "
    "AND table_name NOT LIKE 'alembic%'",
)


async def _shape(url: str) -> list[list[str]]:
    questions = SQLITE if url.startswith("sqlite") else POSTGRES
    return [sorted(map(repr, await fetch(url, question))) for question in questions]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_the_migrations_make_the_same_defaults_and_indexes(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        wanted, made = (f"sqlite:///{tmp_path}/{name}.db" for name in ("wanted", "made"))
    else:
        server = request.getfixturevalue("postgres_server")
        wanted, made = server.url("wanted"), server.url("made")
        await run(server.url("postgres"), "CREATE DATABASE wanted", "CREATE DATABASE made")
    await migrate(made)
    driver = {"sqlite": "aiosqlite", "postgres": "asyncpg"}[kind]
    engine = create_async_engine(wanted.replace(":", f"+{driver}:", 1))
    async with engine.begin() as connection:
        await connection.run_sync(tables.metadata.create_all)
    await engine.dispose()
    assert await _shape(made) == await _shape(wanted)


def test_a_usage_row_has_a_column_for_every_field() -> None:
    assert set(tables.usage.c.keys()) == {*UsageRow.__struct_fields__, "id"}


@pytest.mark.parametrize(
    "column",
    [
        tables.users.c.balance,
        tables.usage.c.cost,
        tables.usage.c.list_cost,
        tables.usage.c.charged,
        tables.ledger_entries.c.amount,
        tables.ledger_entries.c.balance_after,
    ],
    ids=str,
)
def test_money_is_a_big_integer(column: object) -> None:
    assert isinstance(getattr(column, "type", None), BigInteger)


def test_nothing_is_kept_as_a_floating_point_number() -> None:
    columns = [column for table in tables.metadata.tables.values() for column in table.c]
    assert not [str(each) for each in columns if isinstance(each.type, Float | Numeric)]


def test_usage_and_ledger_depend_on_no_other_row() -> None:
    assert not tables.usage.foreign_keys
    assert not tables.ledger_entries.foreign_keys
