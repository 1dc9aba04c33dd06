from __future__ import annotations

import time
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from sub2api.errors import StoreError
from sub2api.model.accounts import Account
from sub2api.model.usage import UsageRow
from sub2api.store import accounts, tables, usage
from sub2api.store.database import Database
from sub2api.store.sealing import Sealer
from sub2api.store.usage import By, UsageSummary

DAY = 86_400.0
START = 1_763_856_000.0  # 2025-11-23T00:00:00Z


def row(call_id: str, **fields: Any) -> UsageRow:
    facts: dict[str, Any] = {
        "user_id": 1,
        "key_id": 1,
        "key_name": "laptop",
        "wire": "messages",
        "operation": "generate",
        "model": "claude-sonnet-4-5",
        "started_at": START,
    }
    return UsageRow(call_id=call_id, **(facts | fields))


FULL = row(
    "full",
    account_id=3,
    account_name="mine",
    group_id=4,
    platform="anthropic",
    upstream_model="claude-sonnet-4-5-20250929",
    stream=True,
    input_tokens=1,
    output_tokens=2,
    cache_read_tokens=3,
    cache_creation_tokens=4,
    cache_creation_long_tokens=5,
    details={"reasoning": 6},
    received={"input_tokens": 1, "x": [None, "é"]},
    cost=2**40,
    list_cost=2**41,
    charged=7,
    multiplier="0.85",
    pricing={"source": "bundled"},
    status=499,
    error="client_gone",
    settled_by="drained",
    truncated=True,
    attempts=2,
    upstream_request_id="req_1",
    started_at=START + 0.125,
    duration_ms=1500,
    first_token_ms=300,
    client_ip="::1",
    user_agent="curl/8",
)


async def _insert(database: Database, *rows: UsageRow) -> set[str]:
    async with database.transaction() as connection:
        return await usage.insert(connection, rows)


async def test_a_row_comes_back_as_it_went_in(database: Database) -> None:
    plain = row("plain")
    assert await _insert(database, FULL, plain) == {"full", "plain"}
    async with database.reading() as connection:
        assert await usage.find(connection, "full") == FULL
        assert await usage.find(connection, "plain") == plain
        assert await usage.find(connection, "none") is None


async def test_a_call_is_counted_once_however_often_it_is_sent(database: Database) -> None:
    assert await _insert(database) == set()
    assert await _insert(database, row("a"), row("b"), row("a", cost=5)) == {"a", "b"}
    assert await _insert(database, row("a", cost=9), row("c")) == {"c"}
    assert await _insert(database, row("a"), row("b")) == set()
    async with database.reading() as connection:
        found = await usage.find(connection, "a")
        assert found is not None
        assert found.cost is None
        assert (await usage.key_totals(connection, 1, 0.0)).requests == 3


async def test_no_text_that_a_client_chooses_keeps_a_row_out(database: Database) -> None:
    assert await _insert(database, row("a", model="m\0", user_agent="\0", error="x\0y")) == {"a"}
    async with database.reading() as connection:
        found = await usage.find(connection, "a")
    assert found is not None
    assert found.model in {"m\0", "m\ufffd"}


async def test_a_batch_is_all_or_nothing_and_an_impossible_row_is_told_apart(
    database: Database,
) -> None:
    for poison in (row("p", user_agent="\ud800"), row("p", cost=2**70)):
        with pytest.raises(StoreError) as caught:
            await _insert(database, row("a"), poison)
        assert not caught.value.transient
    async with database.reading() as connection:
        assert await usage.recent(connection, 10) == []


async def test_500_rows_are_inserted_fast(database: Database) -> None:
    batch = [msgspec.structs.replace(FULL, call_id=f"c{number}") for number in range(500)]
    await _insert(database, row("warm"))
    started = time.perf_counter()
    assert len(await _insert(database, *batch)) == 500
    assert time.perf_counter() - started < 1.0
    assert await _insert(database, *batch, row("new")) == {"new"}


async def test_the_newest_rows_come_first(database: Database) -> None:
    await _insert(
        database, row("b", started_at=START + 1), row("a"), row("c", started_at=START + 1)
    )
    async with database.reading() as connection:
        assert [each.call_id for each in await usage.recent(connection, 10)] == ["c", "b", "a"]
        assert [each.call_id for each in await usage.recent(connection, 1)] == ["c"]


async def test_a_summary_adds_up_tokens_cost_and_counts(database: Database) -> None:
    await _insert(
        database,
        FULL,
        row("priced", cost=10, input_tokens=100, cache_creation_tokens=1),
        row("free", cost=0),
        row("unpriced", output_tokens=50),
        row("failed", status=529, error="overloaded"),
    )
    async with database.reading() as connection:
        found = await usage.summary(connection, since=0.0, by="model")
    assert found == [
        UsageSummary(
            name="claude-sonnet-4-5",
            requests=5,
            input_tokens=101,
            output_tokens=52,
            cache_read_tokens=3,
            cache_creation_tokens=10,
            cost=2**40 + 10,
            unpriced=1,
            errors=2,
        )
    ]


async def test_a_cost_nobody_knows_is_none_and_a_free_one_is_zero(database: Database) -> None:
    await _insert(database, row("a", model="unknown"), row("b", model="free", cost=0))
    async with database.reading() as connection:
        found = await usage.summary(connection, since=0.0, by="model")
    assert {each.name: each.cost for each in found} == {"unknown": None, "free": 0}


async def test_a_summary_covers_from_since_up_to_until(database: Database) -> None:
    await _insert(database, *(row(f"c{second}", started_at=START + second) for second in range(5)))
    async with database.reading() as connection:
        (found,) = await usage.summary(connection, since=START + 1, until=START + 3, by="key")
        assert found.requests == 2
        assert await usage.summary(connection, since=START + 5, by="key") == []


async def test_keys_and_accounts_are_shown_under_the_name_they_have_now(
    database: Database, sealer: Sealer
) -> None:
    async with database.transaction() as connection:
        account = Account(id=0, name="renamed", platform="openai")
        account_id = await accounts.insert(connection, sealer, account)
    await _insert(
        database,
        row("a", account_id=account_id, account_name="old"),
        row("b", account_id=account_id, account_name="older", cost=1),
        row("c", account_id=99, account_name="gone", cost=5),
        row("d", key_id=2, key_name="phone"),
    )
    async with database.reading() as connection:
        by_account = await usage.summary(connection, since=0.0, by="account")
        by_key = await usage.summary(connection, since=0.0, by="key")
    assert [(each.name, each.id, each.requests) for each in by_account] == [
        ("gone", 99, 1),
        ("renamed", account_id, 2),
        ("", None, 1),
    ]
    assert [(each.name, each.id, each.requests) for each in by_key] == [
        ("laptop", 1, 3),
        ("phone", 2, 1),
    ]


@pytest.mark.parametrize(
    ("timezone", "days"),
    [
        ("UTC", {"2025-11-22": 1, "2025-11-23": 2}),
        ("Asia/Kathmandu", {"2025-11-23": 2, "2025-11-24": 1}),
        ("America/New_York", {"2025-11-22": 2, "2025-11-23": 1}),
    ],
)
async def test_days_are_those_of_the_time_zone(
    database: Database, timezone: str, days: dict[str, int]
) -> None:
    await _insert(
        database,
        row("a", started_at=START - 1, cost=1),
        row("b", started_at=START + 3600, cost=2),
        row("c", started_at=START + 18.5 * 3600),
    )
    async with database.reading() as connection:
        found = await usage.summary(connection, since=0.0, by="day", timezone=timezone)
    assert {each.name: each.requests for each in found} == days
    assert [each.name for each in found] == sorted(days)
    assert sum(each.cost or 0 for each in found) == 3


async def test_a_day_without_prices_has_no_cost(database: Database) -> None:
    await _insert(database, row("a"), row("b", started_at=START + 7200))
    async with database.reading() as connection:
        (found,) = await usage.summary(connection, since=0.0, by="day")
    assert (found.cost, found.requests, found.unpriced) == (None, 2, 2)


async def test_one_keys_totals(database: Database) -> None:
    await _insert(
        database,
        row("a", cost=5, input_tokens=2),
        row("b", cost=7, started_at=START + DAY),
        row("c", cost=100, key_id=2),
    )
    async with database.reading() as connection:
        everything = await usage.key_totals(connection, 1, 0.0)
        lately = await usage.key_totals(connection, 1, START + 1)
        nothing = await usage.key_totals(connection, 3, 0.0)
    assert (everything.requests, everything.cost, everything.input_tokens) == (2, 12, 2)
    assert (lately.requests, lately.cost) == (1, 7)
    assert nothing == UsageSummary(name="", id=3)


ROWS = st.lists(
    st.builds(
        row,
        call_id=st.uuids().map(str),
        model=st.sampled_from(["a", "b", "c"]),
        key_id=st.integers(1, 3),
        cost=st.none() | st.integers(0, 10**15),
        input_tokens=st.integers(0, 10**9),
        started_at=st.integers(0, 400).map(lambda hours: START + hours * 3600),
    ),
    max_size=30,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS)
async def test_every_way_to_add_up_gives_the_same_sum(
    database: Database, rows: list[UsageRow]
) -> None:
    async with database.transaction() as connection:
        await connection.execute(tables.usage.delete())
        await usage.insert(connection, rows)
        kept = (await connection.execute(select(func.count()).select_from(tables.usage))).scalar()
        assert kept == len(rows)
        for by in get_args(By):
            found = await usage.summary(
                connection,
                since=0.0,
                by=by,
                timezone="Europe/Berlin",
            )
            assert sum(each.requests for each in found) == len(rows)
            assert sum(each.cost or 0 for each in found) == sum(each.cost or 0 for each in rows)
            wanted = sum(each.input_tokens for each in rows)
            assert sum(each.input_tokens for each in found) == wanted
