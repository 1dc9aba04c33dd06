from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.fakes.shell import Shell


def test_a_dry_run_prints_what_is_missing_and_makes_nothing(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "data")
    shell.environ["RUN_MODE"] = "simple"
    shown = shell("migrate", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "CREATE TABLE usage" in shown.output
    assert not (tmp_path / "data").exists()


def test_migrating_makes_the_schema_and_then_finds_nothing_missing(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "data")
    shell.environ["RUN_MODE"] = "simple"
    assert "The schema is now at revision" in shell("migrate").output
    with closing(sqlite3.connect(tmp_path / "data" / "sub2api.db")) as connection:
        assert connection.execute("SELECT count(*) FROM usage").fetchall() == [(0,)]
    for words in (["migrate"], ["migrate", "--dry-run"]):
        assert "Nothing is missing" in shell(*words).output


def test_postgres_is_migrated_too(tmp_path: Path, migrated_url: str) -> None:
    shell = Shell(tmp_path / "data")
    shell.environ["DATABASE_URL"] = migrated_url
    shell.environ["DATABASE_SCHEMA"] = "another"
    assert "CREATE TABLE usage" in shell("migrate", "--dry-run").output
    assert "The schema is now at revision" in shell("migrate").output
    assert "Nothing is missing" in shell("migrate").output
    shell.environ["DATABASE_SCHEMA"] = "public"
    assert "Nothing is missing" in shell("migrate").output
