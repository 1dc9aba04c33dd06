"""Budgets: whose, of which period, and what is known of them when they are filled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sub2api.billing.journal import Journal
from sub2api.billing.records import Close
from sub2api.gateway.budgets import Budgets, Owner, parsed, vendor_window
from sub2api.live.interfaces import Budget, Entry, Granted, Unfilled
from sub2api.live.memory import MemoryLive
from sub2api.model.limits import Limits
from sub2api.model.usage import UsageRow
from sub2api.store import spending, usage
from sub2api.store.database import Database
from sub2api.store.migrate import migrate
from tests.fakes.clocks import StandingClock

NOW = 1_790_000_000.0
"""A Monday, 2026-09-21 14:13:20 UTC."""


class Desk:
    """Budgets over a real store and journal, and live state to fill."""

    def __init__(self, database: Database, journal: Journal, clock: StandingClock) -> None:
        self.database, self.journal, self.clock = database, journal, clock
        self.budgets = Budgets(database, journal, clock, "UTC")
        self.live = MemoryLive(clock)

    async def book(self, *rows: UsageRow) -> None:
        """Put calls into the store."""
        async with self.database.transaction() as connection:
            await usage.insert(connection, rows)
            await spending.book(connection, rows)

    async def enter(self, call_id: str, budget: Budget) -> object:
        return await self.live.enter(Entry(call_id, 1, 1, budgets=(budget,)))

    async def filled(self, budget: Budget) -> int | None:
        """Ask once, fill, and return what is known."""
        assert await self.enter("asks", budget) == Unfilled((budget.name,))
        await self.budgets.fill(self.live, [budget])
        return self.live.spent(budget.name)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    url = f"sqlite:///{tmp_path / 'budgets.db'}"
    await migrate(url)
    database = await Database.open(url)
    clock = StandingClock(NOW)
    journal = Journal(tmp_path / "journal", clock)
    yield Desk(database, journal, clock)
    await journal.aclose()
    await database.close()


def row(call_id: str, cost: int = 5, at: float = NOW, **fields: Any) -> UsageRow:
    known: dict[str, Any] = {
        "user_id": 1, "key_id": 2, "key_name": "k", "account_id": 3, "group_id": 4,
        "wire": "chat", "operation": "generate", "model": "m", "list_cost": cost * 10,
    }  # fmt: skip
    return UsageRow(call_id=call_id, started_at=at, cost=cost, **(known | fields))


def key(quota: int = 0, **limits: int) -> Owner:
    return Owner("key", 2, NOW - 3600, Limits(**limits), quota)


def test_nothing_limited_is_no_budget(desk: Desk) -> None:
    assert desk.budgets.of(key()) == ()


def test_each_period_has_a_name_of_its_own_and_the_next_another(desk: Desk) -> None:
    owner = key(quota=9, cost_5h=1, cost_day=2, cost_week=3, cost_month=4)
    first = {each.name: each.limit for each in desk.budgets.of(owner)}
    midnight = int(NOW - NOW % 86400)
    assert first == {
        f"cost:key:2:5h:{int((NOW - 3600) // 900 * 900)}": 1,
        f"cost:key:2:day:{midnight}": 2,
        f"cost:key:2:week:{midnight}": 3,
        "cost:key:2:month:1788220800": 4,
        "cost:key:2:quota:0": 9,
    }
    desk.clock.at += 86400
    later = {each.name for each in desk.budgets.of(owner)}
    assert f"cost:key:2:day:{midnight + 86400}" in later
    assert f"cost:key:2:week:{midnight}" in later
    assert "cost:key:2:quota:0" in later


def test_the_same_moment_gives_the_same_value_and_a_changed_owner_another(desk: Desk) -> None:
    owner = key(cost_day=2)
    assert desk.budgets.of(owner) is desk.budgets.of(owner)
    assert desk.budgets.of(key(cost_day=7))[0].limit == 7


def test_groups_and_accounts_count_list_costs(desk: Desk) -> None:
    for noun in ("group", "account"):
        owner = Owner(noun, 4, NOW, Limits(cost_day=1))  # type: ignore[arg-type]
        assert desk.budgets.of(owner)[0].lists
    assert vendor_window(3, 1, NOW, NOW + 1).lists
    assert not desk.budgets.of(key(cost_day=1))[0].lists


def test_a_name_can_be_read_again_and_nonsense_is_no_name() -> None:
    assert parsed("cost:key:2:day:900") == ("key", 2, "day", 900.0)
    with pytest.raises(ValueError, match="no budget"):
        parsed("cost:nobody:2:day:900")


async def test_a_budget_is_filled_from_the_store_within_its_period(desk: Desk) -> None:
    await desk.book(row("a"), row("b", 7), row("yesterday", 100, NOW - 86400))
    await desk.book(row("others", 1000, key_id=9))
    (day,) = desk.budgets.of(key(cost_day=50))
    assert await desk.filled(day) == 12
    (quota,) = desk.budgets.of(key(quota=1000))
    assert await desk.filled(quota) == 112


async def test_list_costs_are_filled_where_they_count(desk: Desk) -> None:
    await desk.book(row("a"))
    (day,) = desk.budgets.of(Owner("account", 3, NOW, Limits(cost_day=1000)))
    assert await desk.filled(day) == 50


async def test_closes_on_their_way_to_the_store_count_once(desk: Desk) -> None:
    await desk.book(row("shipped"))
    desk.journal.close(Close(row=row("shipped")))  # its transaction is done, its confirmation not
    desk.journal.close(Close(row=row("coming", 7)))
    desk.journal.close(Close(row=row("others", 9, key_id=9)))
    desk.journal.close(Close(row=row("yesterday", 100, NOW - 86400)))
    (day,) = desk.budgets.of(key(cost_day=50))
    assert await desk.filled(day) == 12


async def test_what_is_booked_while_it_is_filled_counts_once(desk: Desk) -> None:
    (day,) = desk.budgets.of(key(cost_day=1000))
    (week,) = desk.budgets.of(key(cost_week=1000))
    # Two calls came in while only the week was limited; then a limit per day is asked for.
    assert await desk.filled(week) == 0
    for call_id in ("in the store", "not yet"):
        entry = Entry(call_id, 1, 1, budgets=(week,))
        assert isinstance(await desk.live.enter(entry), Granted)
    assert await desk.enter("asks", day) == Unfilled((day.name,))
    for call_id in ("in the store", "not yet"):
        await desk.live.leave(call_id, cost=5)
    await desk.book(row("in the store"))
    desk.journal.close(Close(row=row("not yet")))
    await desk.budgets.fill(desk.live, [day])
    assert desk.live.spent(day.name) == 10
    assert desk.live.spent(week.name) == 10
