"""From the previous release's schema with rows, and back under its statements."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, create_engine

from sub2api.model.health import RestRule
from sub2api.model.limits import Limits
from sub2api.settings.keys import Database as DatabaseSettings
from sub2api.store import groups, revisions, spending, stamp, tables, usage, users
from sub2api.store.database import Database
from sub2api.store.migrate import _migrating, migrate, upgrade
from sub2api.store.migrations.versions import m0002_limits_and_health as second
from tests.fakes.plain_sql import fetch, run

QUARTER = 900_000
START = 1_700_000_100_000  # a quarter's start in milliseconds
FIRST_RELEASE = (
    "INSERT INTO users (id, email, role, created_at) VALUES (1, 'owner@localhost', 'admin', 5)",
    "INSERT INTO groups (id, name, platform, rate_multiplier, status, created_at) "
    "VALUES (4, 'g', 'openai', '1', 'active', 5)",
    "INSERT INTO accounts (id, name, platform, type, credentials_sealed, base_url, model_mapping, "
    "concurrency, priority, status, schedulable, created_at) "
    "VALUES (3, 'a', 'openai', 'apikey', '', '', '{}', 0, 50, 'active', true, 5)",
    "INSERT INTO api_keys (id, user_id, name, key_hash, created_at) VALUES (2, 1, 'k', 'h', 5)",
)
"""What the previous release inserts, with the columns it knows."""


def _usage(call_id: str, at: int, account: str, cost: str, details: str = "{}") -> str:
    return (
        "INSERT INTO usage (call_id, user_id, key_id, key_name, account_id, group_id, wire, "  # noqa: S608
        "operation, model, input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, "
        "cache_creation_long_tokens, details, cost, list_cost, started_at) VALUES "
        f"('{call_id}', 1, 2, 'k', {account}, NULL, 'chat', 'generate', 'm', 1, 10, 100, 1000, "
        f"10000, '{details}', {cost}, {cost} * 2, {at})"
    )


async def _first_schema(url: str, *statements: str) -> None:
    """Make the database as the first release left it."""
    async with _migrating(url, DatabaseSettings()) as connection:
        await connection.run_sync(
            lambda plain: command.upgrade(revisions.configuration(plain), "0001")
        )
    await run(url, *statements)


async def test_spending_begins_as_what_the_usage_rows_sum_up_to(url: str) -> None:
    await _first_schema(
        url,
        *FIRST_RELEASE,
        _usage("a", START, "3", "5"),
        _usage("b", START + QUARTER - 1, "3", "7", '{"input_audio": 3, "reasoning": 9}'),
        _usage("c", START + QUARTER, "NULL", "NULL"),
    )
    await migrate(url)
    found = await fetch(
        url, "SELECT noun, noun_id, quarter, calls, tokens, cost, list_cost FROM spending"
    )
    early = (START, 2, 22225, 12, 24)
    late = (START + QUARTER, 1, 11111, 0, 0)
    assert sorted(found) == sorted(
        [
            *(("key", 2, *early), ("key", 2, *late)),
            *(("user", 1, *early), ("user", 1, *late)),
            ("account", 3, *early),
        ]
    )


async def test_spending_is_filled_as_it_would_have_been_booked(url: str) -> None:
    await _first_schema(url, *FIRST_RELEASE)
    await run(url, *(_usage(f"c{n}", START + n * 400_000, "3", str(n)) for n in range(9)))
    await migrate(url)
    database = await Database.open(url)
    try:
        async with database.transaction() as connection:
            table = tables.spending
            filled = (await connection.execute(table.select())).all()
            rows = await usage.recent(connection, 100)
            await connection.execute(table.delete())
            await spending.book(connection, rows)
            assert sorted((await connection.execute(table.select())).all()) == sorted(filled)
    finally:
        await database.close()


async def test_the_previous_release_runs_on_the_new_schema(
    database: Database, url: str, sealer: object
) -> None:
    await run(url, *FIRST_RELEASE, _usage("a", START, "3", "5"))
    async with database.reading() as connection:
        owner = await users.find(connection, 1)
        assert owner is not None
        assert owner.limits == Limits()
        [group] = await groups.everything(connection)
        assert (group.concurrency, group.limits, group.model_routes) == (0, Limits(), {})
        assert group.first_byte_timeout is None
        account = (await connection.execute(tables.accounts.select())).one()
        assert (account.limits, account.rest_rules, account.custom_error_codes) == (
            Limits(),
            (),
            None,
        )
        assert (account.max_sessions, account.session_idle_minutes) == (0, 5)
        assert (account.window_cost_limit, account.window_cost_reserve) == (0, 10_000_000_000)
        assert (account.adaptive_concurrency, account.cleared_at) == (False, None)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("users", "limits", "{}"),
        ("groups", "model_routes", "{}"),
        ("accounts", "cleared_at", "7"),
        ("api_keys", "quota", "7"),
    ],
)
async def test_new_columns_move_the_stamp_after_migrating(
    url: str, table: str, column: str, value: str
) -> None:
    await _first_schema(url, *FIRST_RELEASE)
    await migrate(url)
    database = await Database.open(url)
    try:
        async with database.reading() as connection:
            before = await stamp.read(connection)
        await run(url, f"UPDATE {table} SET {column} = '{value}'")  # noqa: S608
        async with database.reading() as connection:
            assert await stamp.read(connection) == before + 1
    finally:
        await database.close()


async def test_a_rest_rule_of_a_newer_release_can_still_be_read(
    database: Database, url: str
) -> None:
    await run(
        url,
        *FIRST_RELEASE,
        "UPDATE accounts SET rest_rules = "
        '\'[{"status":529,"keywords":["x"],"minutes":5,"since":"0.9"}]\'',
    )
    async with database.reading() as connection:
        [row] = (await connection.execute(tables.accounts.select())).all()
    assert row.rest_rules == (RestRule(529, ("x",), 5),)


def test_upgrading_the_newest_schema_again_does_nothing(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")

    def version(connection: Connection) -> object:
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()

    with engine.begin() as connection:
        upgrade(connection)
        assert version(connection) == second.revision
        upgrade(connection)
        assert version(connection) == second.revision
    engine.dispose()
    assert second.down_revision == "0001"
