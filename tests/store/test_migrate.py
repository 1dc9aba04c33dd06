from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from pathlib import Path

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from sub2api.errors import SettingsError
from sub2api.store import migrate as migrating
from sub2api.store import options, revisions, sqlite, stamp
from sub2api.store.database import Database
from sub2api.store.migrate import NEWEST, migrate, missing_sql
from sub2api.store.revisions import MIGRATIONS, newest
from tests.fakes.plain_sql import fetch, run

RUN = """
import asyncio, sys
from sub2api.store.migrate import migrate
asyncio.run(migrate(sys.argv[1]))
"""


async def test_migrating_again_changes_nothing(database: Database, url: str) -> None:
    version = await database.data_version()
    await migrate(url)
    assert await database.data_version() == version


async def test_processes_that_start_at_once_make_one_schema(url: str) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", RUN, url, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    said = [(await each.communicate())[1] for each in processes]
    assert said == [b""] * 3
    assert [each.returncode for each in processes] == [0] * 3
    opened = await Database.open(url)
    async with opened.reading() as connection:
        assert await stamp.read(connection) >= 1
    await opened.close()


async def test_tasks_that_migrate_at_once_make_one_schema(url: str) -> None:
    await asyncio.gather(*(migrate(url) for _ in range(4)))
    await migrate(url)


async def test_a_failing_revision_leaves_nothing_behind(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text((MIGRATIONS / "env.py").read_text())
    (folder / "versions" / "m0001.py").write_text(
        "from alembic import op\n"
        "revision, down_revision = '0001', None\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE half (x INTEGER)')\n"
        "    op.execute('CREATE TABLE half (x INTEGER)')\n"
    )
    with monkeypatch.context() as patch:
        patch.setattr(revisions, "MIGRATIONS", folder)
        with pytest.raises(SettingsError, match=r"cannot be migrated: .*half\"? already exists"):
            await migrate(url)
    await migrate(url)
    with pytest.raises((sqlite3.Error, asyncpg.PostgresError), match="half"):
        await fetch(url, "SELECT * FROM half")


async def test_it_works_from_a_folder_with_a_percent_sign(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "100%(here)s" / "migrations"
    folder.parent.mkdir()
    folder.symlink_to(MIGRATIONS)
    monkeypatch.setattr(revisions, "MIGRATIONS", folder)
    await migrate(url)


async def test_a_newer_schema_that_allows_this_release_is_left_alone(
    database: Database, url: str
) -> None:
    await run(
        url,
        "UPDATE alembic_version SET version_num = '9999'",
        "ALTER TABLE accounts ADD COLUMN cooling_until BIGINT",
    )
    await migrate(url)
    assert await fetch(url, "SELECT version_num FROM alembic_version") == [("9999",)]
    assert await missing_sql(url) == ""


async def test_a_newer_schema_that_needs_a_newer_release_is_refused(
    database: Database, url: str
) -> None:
    await run(
        url,
        "UPDATE alembic_version SET version_num = '9999'",
        "UPDATE options SET value = '\"99.1.0\"' WHERE key = 'schema.minimum_release'",
    )
    with pytest.raises(SettingsError, match=r"needs Sub2API 99\.1\.0 or later; this is "):
        await migrate(url)
    with pytest.raises(SettingsError, match=r"needs Sub2API 99\.1\.0 or later; this is "):
        await missing_sql(url)


@pytest.mark.parametrize(
    "damage", ["DELETE FROM options", "UPDATE options SET value = '7'", "DROP TABLE options"]
)
async def test_another_programs_database_is_refused(
    database: Database, url: str, damage: str
) -> None:
    await run(url, "UPDATE alembic_version SET version_num = 'abcd'", damage)
    with pytest.raises(SettingsError, match="not made by a release of Sub2API"):
        await migrate(url)


async def test_a_locked_file_is_refused_in_a_sentence(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(sqlite_url)
    database = await Database.open(sqlite_url)
    monkeypatch.setattr("sub2api.store.sqlite.BUSY_SECONDS", 0.1)
    async with database.transaction():
        with pytest.raises(SettingsError, match=r"cannot be migrated: .*locked"):
            await migrate(sqlite_url)
    await database.close()


async def test_what_is_missing_can_be_read_before_and_changes_nothing(url: str) -> None:
    script = await missing_sql(url)
    assert "CREATE TABLE usage" in script
    assert "CREATE TABLE spending" in script
    assert await missing_sql(url) == script
    await migrate(url)
    assert await missing_sql(url) == ""


async def test_what_is_missing_makes_the_schema_when_run_by_hand(url: str) -> None:
    script = await missing_sql(url)
    if url.startswith("sqlite"):
        sqlite.prepare_file(sqlite.sqlite_path(url))
        with contextlib.closing(sqlite3.connect(sqlite.sqlite_path(url))) as connection:
            connection.executescript(script)
    else:
        connection = await asyncpg.connect(url)
        await connection.execute(script)
        await connection.close()
    assert await missing_sql(url) == ""
    database = await Database.open(url)
    async with database.transaction() as connection:
        before = await stamp.read(connection)
        await options.set(connection, "a", 1)
        assert await stamp.read(connection) == before + 1
    await database.close()


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("0.1.0", (0, 1, 0)), ("1.10", (1, 10)), ("2.0.0rc1", (2, 0, 0)), ("1.2.dev3", (1, 2))],
)
def test_a_release_is_compared_by_its_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert migrating._release(version) == numbers


def test_every_revision_has_its_own_number_and_the_line_is_unbroken() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    revisions = [each.revision for each in scripts.walk_revisions()][::-1]
    assert revisions == [f"{number:04}" for number in range(1, len(revisions) + 1)]
    files = sorted(path.name for path in (MIGRATIONS / "versions").glob("m*.py"))
    assert [name[1:5] for name in files] == revisions


def test_the_newest_revision_is_the_one_that_starts_look_for() -> None:
    assert newest() == NEWEST
