from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sub2api.model.usage import UsageRow
from sub2api.store import spending, tables, usage
from sub2api.store.database import Database

QUARTER = 900.0
START = 1_700_000_100.0


def row(call_id: str, at: float = START, **fields: Any) -> UsageRow:
    known: dict[str, Any] = {
        "user_id": 1,
        "key_id": 2,
        "key_name": "k",
        "account_id": 3,
        "group_id": 4,
        "wire": "chat",
        "operation": "generate",
        "model": "m",
        "cost": 5,
        "list_cost": 10,
    }
    return UsageRow(call_id=call_id, started_at=at, **(known | fields))


async def book(database: Database, *rows: UsageRow) -> None:
    async with database.transaction() as connection:
        await spending.book(connection, rows)


async def spent(database: Database, noun: spending.Noun, noun_id: int, *span: float) -> Any:
    since, until = span or (0, 2 * START)
    async with database.reading() as connection:
        return await spending.spent(connection, noun, noun_id, since, until)


async def test_a_call_counts_for_its_key_user_group_and_account(database: Database) -> None:
    await book(database, row("a"), row("b", cost=1, list_cost=2))
    nouns: tuple[spending.Noun, ...] = ("user", "key", "account", "group")
    for noun_id, noun in enumerate(nouns, 1):
        assert await spent(database, noun, {1: 1, 2: 2, 3: 3, 4: 4}[noun_id]) == (6, 12)
        assert await spent(database, noun, 99) == (0, 0)


async def test_a_call_without_account_or_group_counts_for_its_key_and_user(
    database: Database,
) -> None:
    await book(database, row("a", account_id=None, group_id=None))
    async with database.reading() as connection:
        found = (await connection.execute(tables.spending.select())).all()
    assert {each.noun for each in found} == {"key", "user"}


async def test_a_call_counts_in_the_quarter_it_started_in(database: Database) -> None:
    await book(
        database,
        row("a", START - 0.001, cost=1),
        row("b", START, cost=10),
        row("c", START + QUARTER - 0.001, cost=100),
        row("d", START + QUARTER, cost=1000),
    )
    assert (await spent(database, "key", 2, START, START + QUARTER))[0] == 110
    assert (await spent(database, "key", 2, START - QUARTER, START))[0] == 1
    assert (await spent(database, "key", 2, START - QUARTER, START + 2 * QUARTER))[0] == 1111


async def test_booking_adds_to_what_is_there(database: Database) -> None:
    await book(database, row("a", input_tokens=1, output_tokens=2, cache_read_tokens=4))
    await book(
        database,
        row(
            "b",
            cache_creation_tokens=8,
            cache_creation_long_tokens=16,
            details={"input_audio": 32, "output_image": 64, "reasoning": 999, "web_searches": 9},
        ),
    )
    await book(database)
    async with database.reading() as connection:
        found = (await connection.execute(tables.spending.select())).mappings().all()
    [key] = [dict(each) for each in found if each["noun"] == "key"]
    assert key == {
        "noun": "key",
        "noun_id": 2,
        "quarter": START,
        "calls": 2,
        "tokens": 127,
        "cost": 10,
        "list_cost": 20,
    }


async def test_an_unknown_cost_counts_as_nothing(database: Database) -> None:
    await book(database, row("a", cost=None, list_cost=None))
    assert await spent(database, "key", 2) == (0, 0)


async def test_which_calls_are_in_the_store_is_known(database: Database) -> None:
    async with database.transaction() as connection:
        await usage.insert(connection, [row("a"), row("b")])
    async with database.reading() as connection:
        assert await spending.known(connection, ["a", "x", "a"]) == {"a"}
        assert await spending.known(connection, []) == set()
        many = [f"n{number}" for number in range(40_000)]
        assert await spending.known(connection, [*many, "b"]) == {"b"}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 8000), st.one_of(st.none(), st.integers(0, 9))),
        max_size=40,
    )
)
async def test_rollups_are_what_the_rows_sum_up_to(
    database: Database, calls: list[tuple[int, int, int | None]]
) -> None:
    async with database.transaction() as connection:
        await connection.execute(tables.spending.delete())
        rows = [
            row(str(number), START + at, key_id=key, cost=cost)
            for number, (key, at, cost) in enumerate(calls)
        ]
        for first in range(0, len(rows), 7):
            await spending.book(connection, rows[first : first + 7])
        for key in range(1, 4):
            for since in (START, START + QUARTER, START + 8 * QUARTER):
                expected = sum(
                    each.cost or 0
                    for each in rows
                    if each.key_id == key and since <= each.started_at < since + 2 * QUARTER
                )
                found = await spending.spent(connection, "key", key, since, since + 2 * QUARTER)
                assert found[0] == expected
