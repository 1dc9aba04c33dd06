from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import BigInteger, Connection, Float, Numeric, create_engine

from sub2api.model.usage import UsageRow
from sub2api.store import tables
from sub2api.store.database import Database


async def test_the_migrations_make_exactly_these_tables(database: Database) -> None:
    def difference(connection: Connection) -> object:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, tables.metadata)

    async with database.reading() as connection:
        assert await connection.run_sync(difference) == []


def _shape(path: Path) -> dict[str, object]:
    """What alembic does not compare: defaults, and the conditions of partial indexes."""
    with sqlite3.connect(path) as connection:
        found: dict[str, object] = {}
        names = (
            "SELECT name, sql FROM sqlite_master WHERE type = ? AND tbl_name NOT LIKE 'alembic%'"
        )
        for table, _ in connection.execute(names, ("table",)).fetchall():
            columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
            found[table] = sorted(column[1:] for column in columns)
        found |= dict(connection.execute(names, ("index",)).fetchall())
    connection.close()
    return found


async def test_the_migrations_make_the_same_defaults_and_indexes(
    database: Database, tmp_path: Path
) -> None:
    wanted = tmp_path / "wanted.db"
    engine = create_engine(f"sqlite:///{wanted}")
    tables.metadata.create_all(engine)
    engine.dispose()
    assert _shape(database.path) == _shape(wanted)


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
