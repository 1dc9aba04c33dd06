"""Brings the database's schema to this release, in one transaction, whoever comes first.

A newer release's schema is fine as long as it says so: revisions only expand, and the option
`schema.minimum_release` names the oldest release that may still run on it.
"""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from sqlalchemy import Connection

from sub2api import __version__
from sub2api.errors import SettingsError, StoreError
from sub2api.store.engine import prepare_file, sqlite_engine, sqlite_path
from sub2api.store.tables import options

NEWEST = "0002"
"""The revision of `tables.py`; a test compares it with the scripts."""
MINIMUM_RELEASE = "schema.minimum_release"


async def migrate(url: str) -> None:
    """Run the revisions that the database at `url` lacks; make it if it does not exist.

    Two processes may call this at once: the second waits, and then finds nothing to do. Raises
    SettingsError when the URL or file cannot be used, or when the schema is too new.
    """
    path = sqlite_path(url)
    await asyncio.to_thread(prepare_file, path)
    engine = sqlite_engine(path, "write", connections=1)
    try:
        # BEGIN IMMEDIATE: what is read about the schema stays true until the commit.
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)
    except StoreError as error:
        raise SettingsError(f"database file {path} cannot be migrated: {error}") from error
    finally:
        await engine.dispose()


def upgrade(connection: Connection) -> None:
    """Run the missing revisions in the transaction that `connection` is in."""
    if _revision(connection) == NEWEST:
        return
    # Imported here: a start that has nothing to migrate need not pay for Alembic.
    from sub2api.store import revisions

    if not revisions.run(connection):
        _check_newer(connection)


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _check_newer(connection: Connection) -> None:
    """Refuse a schema that a newer release made, unless that release allows this one."""
    try:
        minimum = connection.execute(
            sa.select(options.c.value).where(options.c.key == MINIMUM_RELEASE)
        ).scalar()
    except StoreError:
        minimum = None
    if not isinstance(minimum, str):
        raise SettingsError("the database was not made by a release of Sub2API")
    if _release(minimum) > _release(__version__):
        raise SettingsError(
            f"the database was upgraded by a newer release and needs Sub2API {minimum} or later; "
            f"this is {__version__}"
        )


def _release(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: 1.2.0rc1 is (1, 2, 0)."""
    numbers: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
