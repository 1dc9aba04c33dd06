"""What was spent of limits of money."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sub2api.identity.spent import Spent, spent_of
from sub2api.model.callers import ApiKey, User
from sub2api.model.limits import Limits
from sub2api.model.usage import UsageRow
from sub2api.store import spending
from tests.fakes.workshop import Workshop

ZONE = "Europe/Berlin"
MADE = datetime(2026, 11, 25, 8, 7, tzinfo=ZoneInfo(ZONE)).timestamp()
NOW = datetime(2026, 11, 25, 14, 0, tzinfo=ZoneInfo(ZONE)).timestamp()
ALL = Limits(cost_5h=1, cost_day=2, cost_week=3, cost_month=4)


def at(day: int, hour: int, minute: int = 0) -> float:
    return datetime(2026, 11, day, hour, minute, tzinfo=ZoneInfo(ZONE)).timestamp()


def call(moment: float, cost: int, key_id: int = 7) -> UsageRow:
    return UsageRow(
        call_id=f"{moment}-{key_id}",
        started_at=moment,
        user_id=1,
        key_id=key_id,
        key_name="k",
        wire="chat",
        operation="generate",
        model="m",
        cost=cost,
    )


async def book(workshop: Workshop) -> None:
    rows = [
        call(at(25, 13), 1),
        call(at(25, 12, 59), 10),
        call(at(25, 0), 100),
        call(at(24, 23, 59), 1000),
        call(at(22, 12), 10_000),
        call(at(25, 13), 100_000, key_id=8),
    ]
    async with workshop.database.transaction() as connection:
        await spending.book(connection, rows)


async def test_each_limit_counts_its_own_window(workshop: Workshop) -> None:
    await book(workshop)
    key = ApiKey(id=7, user_id=1, name="k", hint="", created_at=MADE, limits=ALL, quota=9)
    async with workshop.database.reading() as connection:
        found = await spent_of(connection, key, now=NOW, timezone=ZONE)
    assert found == [
        Spent("5h", 1, 1, at(25, 13), at(25, 18)),
        Spent("day", 2, 111, at(25, 0), at(26, 0)),
        Spent("week", 3, 1111, at(23, 0), at(30, 0)),
        Spent("month", 4, 11_111, at(1, 0), at(30, 0) + 86400),
        Spent("quota", 9, 11_111),
    ]


async def test_a_user_counts_all_keys_and_limits_that_are_not_set_are_left_out(
    workshop: Workshop,
) -> None:
    await book(workshop)
    user = User(id=1, email="a@b", created_at=MADE, limits=Limits(rpm=5, cost_day=2))
    async with workshop.database.reading() as connection:
        [day] = await spent_of(connection, user, now=NOW, timezone=ZONE)
    assert (day.window, day.cost) == ("day", 100_111)
