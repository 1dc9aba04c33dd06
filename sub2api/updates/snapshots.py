"""Copies of the SQLite database: a backup before an update, and one for a release to try on."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from sub2api.errors import MistakeError

KEPT = 3
"""Backups that stay."""


def take(database: Path, target: Path) -> Path:
    """Write a consistent copy of a database that may be in use. Raises MistakeError.

    Blocks for as long as it takes: call it in a thread. The copy is private to its owner, from
    the first byte on; a failed one is removed.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_room(target.parent, database.stat().st_size)
    # VACUUM INTO accepts a file that is empty; made here, it is never open to others.
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        try:
            connection.execute("VACUUM INTO ?", (str(target),))
        finally:
            connection.close()
        with target.open("rb") as file:
            os.fsync(file.fileno())
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise MistakeError(f"the database cannot be copied to {target}: {error}") from error
    return target


def back_up(database: Path, directory: Path, name: str) -> Path:
    """Take a copy into `directory`, and remove all but the last few there."""
    taken = take(database, directory / f"before-{name}.db")
    copies = sorted(directory.glob("before-*.db"), key=lambda path: path.stat().st_mtime)
    for old in copies[:-KEPT]:
        old.unlink(missing_ok=True)
    return taken


def _require_room(directory: Path, size: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < size:
        raise MistakeError(
            f"a copy of the database needs {size >> 20} MB in {directory}, and {free >> 20} MB "
            "are free. Nothing was changed; make room and run it again"
        )
