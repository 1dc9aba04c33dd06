from __future__ import annotations

import pytest
from sqlalchemy import select

from sub2api.errors import StoreError
from sub2api.store import bulk, tables
from sub2api.store.database import Database

COLUMNS = ("noun", "noun_id", "quarter", "calls", "tokens", "cost", "list_cost")
ADD = "(noun, noun_id, quarter) DO UPDATE SET calls = spending.calls + excluded.calls"
KINDS = ("name", "priority", "enabled", "status")


async def test_rows_are_inserted_and_added_to_in_either_database(database: Database) -> None:
    rows = [("key", number, 900_000, 1, 2, 3, 4) for number in range(3)]
    async with database.transaction() as connection:
        await bulk.insert(connection, tables.spending, COLUMNS, rows, ADD)
        await bulk.insert(connection, tables.spending, COLUMNS, rows[1:], ADD)
        await bulk.insert(connection, tables.spending, COLUMNS, [], ADD)
        found = (await connection.execute(tables.spending.select())).all()
    assert sorted((each.noun_id, each.quarter, each.calls, each.cost) for each in found) == [
        (0, 900.0, 1, 3),
        (1, 900.0, 2, 3),
        (2, 900.0, 2, 3),
    ]


async def test_texts_numbers_switches_and_nothing_come_back(database: Database) -> None:
    rule = tables.error_rules.c
    async with database.transaction() as connection:
        await bulk.insert(
            connection,
            tables.error_rules,
            KINDS,
            [('a, {b}" \\ é', 7, True, None), ("", -1, False, 500)],
            "(name) DO NOTHING",
        )
        columns = (rule.name, rule.priority, rule.enabled, rule.status)
        found = (await connection.execute(select(*columns).order_by(rule.id))).all()
    assert [tuple(each) for each in found] == [
        ('a, {b}" \\ é', 7, True, None),
        ("", -1, False, 500),
    ]


async def test_one_impossible_row_refuses_them_all(database: Database) -> None:
    rows = [("key", 1, 900_000, 1, 2, 3, 4), ("key", 2, 900_000, 1, 2, 2**70, 4)]
    with pytest.raises(StoreError) as caught:
        async with database.transaction() as connection:
            await bulk.insert(connection, tables.spending, COLUMNS, rows, ADD)
    assert not caught.value.transient
    async with database.reading() as connection:
        assert (await connection.execute(tables.spending.select())).all() == []
