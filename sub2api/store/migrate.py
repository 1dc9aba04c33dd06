"""Brings the database's schema to this release, in one transaction, whoever comes first.

A newer release's schema is fine as long as it says so: revisions only expand, and the option
`schema.minimum_release` names the oldest release that may still run on it.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api import __version__
from sub2api.errors import SettingsError, StoreError
from sub2api.settings.keys import Database as DatabaseSettings
from sub2api.store.engine import kind_of
from sub2api.store.tables import options

NEWEST = "0002"
"""The revision of `tables.py`; a test compares it with the scripts."""
MINIMUM_RELEASE = "schema.minimum_release"
TRIES = 8
"""How often a migration of Postgres tries to get at tables that long statements are using."""
PAUSE_SECONDS = 2.0
"""Between two tries everybody else gets at them."""


async def migrate(url: str, settings: DatabaseSettings | None = None) -> None:
    """Run the revisions that the database at `url` lacks; make file or schema if there is none.

    `settings` as for `Database.open`. Two processes may call this at once: the second waits, and
    then finds nothing to do. Raises SettingsError when the database cannot be used, when others
    would not let go of its tables, or when the schema is too new.
    """
    settings = settings or DatabaseSettings()
    for left in reversed(range(TRIES)):
        try:
            async with _migrating(url, settings) as connection:
                await connection.run_sync(upgrade)
        except StoreError as error:
            if not left:
                raise SettingsError(
                    f"the database cannot be migrated while others use it: {error}"
                ) from error
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return


async def missing_sql(url: str, settings: DatabaseSettings | None = None) -> str:
    """Return the SQL that `migrate` would run, empty when nothing is missing. Changes nothing.

    Raises SettingsError when the database cannot be used or its schema is too new.
    """
    from sub2api.store import revisions

    kind = kind_of(url)
    try:
        async with _looking(url, settings or DatabaseSettings()) as connection:
            current = None if connection is None else await connection.run_sync(_checked_revision)
    except StoreError as error:
        raise SettingsError(f"the database cannot be read: {error}") from error
    return "" if current == NEWEST else revisions.sql_after(current, kind)


def _migrating(
    url: str, settings: DatabaseSettings
) -> AbstractAsyncContextManager[AsyncConnection]:
    # Imported here: who stores in one kind need not pay for the other's driver.
    if kind_of(url) == "sqlite":
        from sub2api.store import sqlite

        return sqlite.migrating(url)
    from sub2api.store import postgres

    return postgres.migrating(url, settings)


def _looking(
    url: str, settings: DatabaseSettings
) -> AbstractAsyncContextManager[AsyncConnection | None]:
    if kind_of(url) == "sqlite":
        from sub2api.store import sqlite

        return sqlite.looking(url)
    from sub2api.store import postgres

    return postgres.looking(url, settings)


def upgrade(connection: Connection) -> None:
    """Run the missing revisions in the transaction that `connection` is in."""
    if _revision(connection) == NEWEST:
        return
    # Imported here: a start that has nothing to migrate need not pay for Alembic.
    from sub2api.store import revisions

    if not revisions.run(connection):
        _check_newer(connection)


def _checked_revision(connection: Connection) -> str | None:
    """Return the schema's revision; NEWEST for a newer one that allows this release."""
    from sub2api.store import revisions

    current = _revision(connection)
    if current is None or revisions.is_known(current):
        return current
    _check_newer(connection)
    return NEWEST


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _check_newer(connection: Connection) -> None:
    """Refuse a schema that a newer release made, unless that release allows this one."""
    minimum = None
    if sa.inspect(connection).has_table(options.name):
        kept = sa.select(options.c.value).where(options.c.key == MINIMUM_RELEASE)
        minimum = connection.execute(kept).scalar()
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
