from __future__ import annotations

from sqlalchemy import select

from sub2api.store import options, stamp, tables
from sub2api.store.database import Database
from sub2api.store.migrations.versions import m0001_first_tables as first


async def test_a_new_database_has_its_stamp_and_its_minimum_release(database: Database) -> None:
    async with database.reading() as connection:
        assert await stamp.read(connection) >= 1
        assert await options.get(connection, "schema.minimum_release") == "0.1.0"
        for table in (tables.users, tables.accounts, tables.usage, tables.ledger_entries):
            assert (await connection.execute(select(table))).first() is None


def test_it_is_the_first_revision() -> None:
    assert (first.revision, first.down_revision) == ("0001", None)
