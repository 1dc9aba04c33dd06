from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from sub2api.errors import MistakeError
from sub2api.updates import snapshots


def database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
    return connection


def test_a_copy_of_a_database_in_use_has_what_was_committed(tmp_path: Path) -> None:
    used = database(tmp_path / "a b?.db")
    used.execute("INSERT INTO t VALUES (1)")
    used.execute("BEGIN IMMEDIATE")
    used.execute("INSERT INTO t VALUES (2)")
    copy = snapshots.take(tmp_path / "a b?.db", tmp_path / "deep" / "copy.db")
    used.close()
    taken = sqlite3.connect(copy)
    assert taken.execute("SELECT x FROM t").fetchall() == [(1,)]
    taken.close()
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_failed_copy_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 1000)
    with pytest.raises(MistakeError, match="cannot be copied"):
        snapshots.take(broken, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_the_last_three_backups_stay(tmp_path: Path) -> None:
    database(tmp_path / "d.db").close()
    for index in range(5):
        made = snapshots.back_up(tmp_path / "d.db", tmp_path / "backups", f"1.{index}")
        os.utime(made, (index, index))
    left = sorted(path.name for path in (tmp_path / "backups").iterdir())
    assert left == ["before-1.2.db", "before-1.3.db", "before-1.4.db"]
