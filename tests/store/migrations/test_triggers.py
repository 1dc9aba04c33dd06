from __future__ import annotations

import io
import re

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Table, delete, insert, update

from sub2api.errors import StoreError
from sub2api.store import stamp, tables, users
from sub2api.store.database import Database
from sub2api.store.migrations.versions import m0001_first_tables as first
from sub2api.store.migrations.versions import m0002_limits_and_health as second

MOMENT = 1_700_000_000.0
ROWS: dict[str, dict[str, object]] = {
    "users": {"id": 7, "email": "a@b", "created_at": MOMENT},
    "proxies": {"id": 7, "name": "p", "protocol": "http", "host": "h", "port": 1},
    "groups": {"id": 7, "name": "g", "platform": "openai", "created_at": MOMENT},
    "accounts": {"id": 7, "name": "a", "platform": "openai", "created_at": MOMENT},
    "account_groups": {"account_id": 7, "group_id": 7},
    "api_keys": {"id": 7, "user_id": 7, "name": "k", "key_hash": "h", "created_at": MOMENT},
    "key_groups": {"key_id": 7, "group_id": 7, "position": 0},
    "price_overrides": {
        "id": 7,
        "model": "m",
        "prices": {},
        "valid_from": MOMENT,
        "created_at": MOMENT,
    },
    "options": {"key": "k", "value": 1},
    "usage": {
        "call_id": "c",
        "user_id": 7,
        "key_id": 7,
        "key_name": "k",
        "wire": "chat",
        "operation": "generate",
        "model": "m",
        "started_at": MOMENT,
    },
    "error_rules": {"id": 7, "name": "r"},
    "bindings": {"key_id": 7, "bound_id": "b", "account_id": 7, "expires_at": MOMENT},
}
UNWATCHED: dict[str, dict[str, object]] = {
    "account_rests": {
        "account_id": 7,
        "model": "",
        "cause": "burst",
        "since": MOMENT,
        "until": MOMENT,
    },
    "account_windows": {
        "account_id": 7,
        "name": "5h",
        "utilization": 0.5,
        "resets_at": MOMENT,
        "seen_at": MOMENT,
    },
    "spending": {
        "noun": "key",
        "noun_id": 7,
        "quarter": MOMENT,
        "calls": 1,
        "tokens": 1,
        "cost": 1,
        "list_cost": 1,
    },
    "attempts": {
        "call_id": "c",
        "position": 1,
        "account_id": 7,
        "cause": "burst",
        "started_at": MOMENT,
    },
}
LEDGER = {"user_id": 7, "kind": "gift", "amount": 5, "balance_after": 5, "created_at": MOMENT}


async def _moved(database: Database, *statements: object) -> bool:
    async with database.transaction() as connection:
        before = await stamp.read(connection)
        for statement in statements:
            await connection.execute(statement)  # type: ignore[call-overload]  # any statement
        return await stamp.read(connection) != before


async def _fill(database: Database) -> None:
    async with database.transaction() as connection:
        for name, row in ROWS.items():
            await connection.execute(insert(tables.metadata.tables[name]), [row])


def test_every_configuration_column_is_watched_and_no_other() -> None:
    newest = {**first._WATCHED, **second._WATCHED}
    watched = {name: set(columns.split()) for name, columns in newest.items()}
    wanted = {
        table.name: set(table.c.keys()) - tables.NOT_CONFIGURATION.get(table.name, frozenset())
        for table in tables.CONFIGURATION
    }
    assert watched == wanted


@pytest.mark.parametrize("table", tables.CONFIGURATION, ids=lambda each: each.name)
async def test_configuration_that_comes_changes_or_goes_moves_the_stamp(
    database: Database, table: Table
) -> None:
    for needed in tables.CONFIGURATION:
        if needed is table:
            break
        async with database.transaction() as connection:
            await connection.execute(insert(needed), [ROWS[needed.name]])
    assert await _moved(database, insert(table).values(ROWS[table.name]))
    for column in table.c:
        if column.name not in tables.NOT_CONFIGURATION.get(table.name, ()):
            assert await _moved(database, update(table).values({column: column})), column
    assert await _moved(database, delete(table))


@pytest.mark.parametrize(
    "column",
    [tables.users.c.balance, tables.accounts.c.last_used_at, tables.api_keys.c.last_used_at],
    ids=str,
)
async def test_what_changes_with_every_call_leaves_the_stamp(
    database: Database, column: object
) -> None:
    await _fill(database)
    table = getattr(column, "table", None)
    assert isinstance(table, Table)
    assert not await _moved(database, update(table).values({column: 1}))


async def test_usage_bindings_and_ledger_leave_the_stamp(database: Database) -> None:
    usage, bindings = tables.usage, tables.bindings
    assert not await _moved(
        database,
        insert(usage).values(ROWS["usage"]),
        update(usage).values(cost=1),
        insert(bindings).values(ROWS["bindings"]),
        delete(bindings),
        insert(tables.ledger_entries).values(LEDGER),
    )


@pytest.mark.parametrize("name", UNWATCHED)
async def test_rests_windows_spending_and_attempts_leave_the_stamp(
    database: Database, name: str
) -> None:
    table = tables.metadata.tables[name]
    column = next(iter(table.c))
    assert not await _moved(
        database,
        insert(table).values(UNWATCHED[name]),
        update(table).values({column: column}),
        delete(table),
    )


async def test_asking_for_the_owner_again_leaves_the_stamp(database: Database) -> None:
    async with database.transaction() as connection:
        await users.ensure_owner(connection)
        before = await stamp.read(connection)
        await users.ensure_owner(connection)
        assert await stamp.read(connection) == before


@pytest.mark.parametrize(
    "statement", [update(tables.ledger_entries).values(amount=1), delete(tables.ledger_entries)]
)
async def test_a_ledger_entry_can_be_neither_changed_nor_deleted(
    database: Database, statement: object
) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert(tables.ledger_entries).values(LEDGER))
    with pytest.raises(StoreError, match="ledger_entries is append-only") as caught:
        await _moved(database, statement)
    assert not caught.value.transient


def test_postgres_gets_the_same_tables_and_triggers() -> None:
    script = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql",
        opts={"as_sql": True, "output_buffer": script, "target_metadata": tables.metadata},
    )
    with Operations.context(context):
        first.upgrade()
        second.upgrade()
    sql = script.getvalue()
    assert set(re.findall(r"CREATE TABLE (\w+)", sql)) == set(tables.metadata.tables)
    watched = re.findall(r"CREATE TRIGGER stamp_(\w+) AFTER INSERT OR DELETE OR UPDATE OF", sql)
    assert watched == [*first._WATCHED, *second._WATCHED]
    assert "DROP TRIGGER IF EXISTS stamp_accounts ON accounts" in sql
    assert sql.count("INSERT INTO spending") == 4
    assert "CREATE TRIGGER keep_ledger_entries BEFORE UPDATE OR DELETE" in sql
    assert "id BIGSERIAL NOT NULL" in sql
    assert "DATETIME" not in sql
