from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from sub2api.clock import Clock
from sub2api.errors import MistakeError, StoreError
from sub2api.model.accounts import Group
from sub2api.store import groups, rows, tables
from sub2api.store.database import Database


async def test_an_insert_knows_conflicts_in_either_dialect(database: Database) -> None:
    async with database.reading() as connection:
        made = rows.insert_into(connection, tables.options)
        kind = {"sqlite": sqlite.Insert, "postgresql": postgresql.Insert}[connection.dialect.name]
        assert isinstance(made, kind)


async def test_a_refused_row_leaves_its_transaction_as_it_was(database: Database) -> None:
    group = Group(id=0, name="one", platform="openai")
    async with database.transaction() as connection:
        await groups.insert(connection, group)
        with pytest.raises(MistakeError):
            await groups.insert(connection, group)
        other = await groups.insert(connection, Group(id=0, name="two", platform="openai"))
        with pytest.raises(MistakeError):
            await groups.change(connection, other, {"name": "one"})
    async with database.reading() as connection:
        assert [each.name for each in await groups.everything(connection)] == ["one", "two"]


async def test_a_name_beats_an_id(database: Database) -> None:
    async with database.transaction() as connection:
        first = await groups.insert(connection, Group(id=0, name="one", platform="openai"))
        second = await groups.insert(connection, Group(id=0, name=str(first), platform="openai"))
        assert await rows.id_of(connection, tables.groups, str(first)) == second
        assert await rows.id_of(connection, tables.groups, "one") == first
        assert await rows.id_of(connection, tables.groups, str(second)) == second


@pytest.mark.parametrize("text", ["", "0", "-1", "9" * 19, "٣", "1.0", "' OR 1=1 --"])
async def test_what_is_neither_name_nor_id_finds_nothing(database: Database, text: str) -> None:
    async with database.transaction() as connection:
        await groups.insert(connection, Group(id=0, name="one", platform="openai"))
        assert await rows.id_of(connection, tables.groups, text) is None


def test_unknown_fields_are_named() -> None:
    with pytest.raises(ValueError, match="cannot be changed: id, shoe_size"):
        rows.only_known({"shoe_size": 1, "id": 2, "name": "x"}, frozenset({"name"}))


async def test_changing_nothing_tells_whether_the_row_is_there(database: Database) -> None:
    async with database.transaction() as connection:
        group_id = await groups.insert(connection, Group(id=0, name="one", platform="openai"))
        assert await rows.change_row(connection, tables.groups, group_id, {})
        assert not await rows.change_row(connection, tables.groups, group_id + 1, {})


async def test_a_deletion_is_dated_by_the_given_or_the_machines_clock(database: Database) -> None:
    deleted_at = tables.groups.c.deleted_at
    async with database.transaction() as connection:
        one = await groups.insert(connection, Group(id=0, name="one", platform="openai"))
        two = await groups.insert(connection, Group(id=0, name="two", platform="openai"))
        assert await rows.delete_row(connection, tables.groups, one, now=5.0)
        assert await rows.delete_row(connection, tables.groups, two, now=None)
        order = tables.groups.c.id
        found = (await connection.execute(select(deleted_at).order_by(order))).scalars().all()
    assert found[0] == 5.0
    assert abs(found[1] - Clock().now()) < 60


@pytest.mark.parametrize(
    ("said", "transient"),
    [
        ("UNIQUE constraint failed: t.name", True),
        ("UNIQUE constraint failed: t.hash", False),
        ("NOT NULL constraint failed: t.name", False),
    ],
)
def test_only_a_taken_name_is_called_one(said: str, transient: bool) -> None:
    with pytest.raises(StoreError, match=said), rows.name_taken("a thing", "x"):
        raise StoreError(said, transient=transient)


def test_a_taken_name_is_a_mistake_in_postgres_words_too() -> None:
    said = 'duplicate key value violates unique constraint "uq_groups_name_live"'
    with (
        pytest.raises(MistakeError, match="there is already a group named 'x'"),
        rows.name_taken("a group", "x"),
    ):
        raise StoreError(said, transient=False)
