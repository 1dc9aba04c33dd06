from __future__ import annotations

import pytest

from sub2api.errors import StoreError
from sub2api.store import options
from sub2api.store.database import Database


@pytest.mark.parametrize("value", [True, 0, "text", [1, {"a": None}], {"nested": {"x": [1.5]}}])
async def test_an_option_keeps_any_json_value(database: Database, value: object) -> None:
    async with database.transaction() as connection:
        await options.set(connection, "name", value)
    async with database.reading() as connection:
        assert await options.get(connection, "name") == value


async def test_a_later_value_replaces_an_earlier_one(database: Database) -> None:
    async with database.transaction() as connection:
        await options.set(connection, "name", 1)
        await options.set(connection, "name", 2)
        await options.set(connection, "other", 3)
        assert await options.get(connection, "name") == 2
        assert await options.get(connection, "other") == 3


async def test_an_unknown_option_is_none(database: Database) -> None:
    async with database.reading() as connection:
        assert await options.get(connection, "name") is None


async def test_a_deleted_option_is_gone_and_may_be_deleted_again(database: Database) -> None:
    async with database.transaction() as connection:
        await options.set(connection, "name", 1)
        await options.delete(connection, "name")
        await options.delete(connection, "name")
        assert await options.get(connection, "name") is None


async def test_none_is_no_value(database: Database) -> None:
    with pytest.raises(StoreError, match=r"(?i)not.?null"):
        async with database.transaction() as connection:
            await options.set(connection, "name", None)
