from __future__ import annotations

from sub2api.model.usage import FailedAttempt
from sub2api.store import attempts, tables
from sub2api.store.database import Database

FIRST = FailedAttempt(position=1, account_id=3, cause="burst", started_at=1.5, status=429)
SECOND = FailedAttempt(
    position=2,
    account_id=4,
    cause="cut",
    started_at=2.25,
    input_tokens=1,
    output_tokens=2,
    cache_read_tokens=3,
    cache_creation_tokens=4,
    cache_creation_long_tokens=5,
    list_cost=6,
)


async def test_failed_attempts_survive_in_their_order(database: Database) -> None:
    async with database.transaction() as connection:
        await attempts.insert_many(connection, {"a": [SECOND, FIRST], "b": [], "c": [FIRST]})
    async with database.reading() as connection:
        assert await attempts.of_call(connection, "a") == [FIRST, SECOND]
        assert await attempts.of_call(connection, "b") == []


async def test_inserting_again_changes_nothing(database: Database) -> None:
    async with database.transaction() as connection:
        await attempts.insert_many(connection, {"a": [FIRST]})
        changed = FailedAttempt(position=1, account_id=9, cause="x", started_at=9)
        await attempts.insert_many(connection, {"a": [changed, SECOND]})
        assert await attempts.of_call(connection, "a") == [FIRST, SECOND]
        await attempts.insert_many(connection, {})


def test_an_attempt_has_a_column_for_every_field() -> None:
    assert set(tables.attempts.c.keys()) == {
        *FailedAttempt.__struct_fields__,
        "id",
        "call_id",
    }
