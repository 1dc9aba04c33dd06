from __future__ import annotations

import pytest

from sub2api.model.accounts import Account
from sub2api.model.health import Cooldown, UsageWindow
from sub2api.store import accounts, health, stamp
from sub2api.store.database import Database
from sub2api.store.sealing import Sealer

BURST = Cooldown(1, "", "burst", since=100.25, until=105.25, failures=1, detail="slow down")
MODEL = Cooldown(1, "m", "quota", since=100, until=400)
FIVE = UsageWindow("5h", 0.123456, resets_at=500.5, seen_at=100, status="allowed")
WEEK = UsageWindow("7d", 1.05, resets_at=900, seen_at=100)


@pytest.fixture
async def account_ids(database: Database, sealer: Sealer) -> list[int]:
    async with database.transaction() as connection:
        return [
            await accounts.insert(
                connection, sealer, Account(id=0, name=name, platform="openai", api_key="k")
            )
            for name in ("one", "two")
        ]


async def test_rests_survive_and_a_later_one_takes_its_place(
    database: Database, account_ids: list[int]
) -> None:
    assert account_ids == [1, 2]
    longer = Cooldown(1, "", "burst", since=106, until=116, failures=2)
    async with database.transaction() as connection:
        await health.save_cooldowns(connection, [MODEL, BURST])
        assert await health.cooldowns(connection) == [BURST, MODEL]
        await health.save_cooldowns(connection, [BURST, longer])
        assert await health.cooldowns(connection) == [longer, MODEL]
        await health.save_cooldowns(connection, [])


async def test_windows_survive_and_unmentioned_ones_stay(
    database: Database, account_ids: list[int]
) -> None:
    first, second = account_ids
    newer = UsageWindow("5h", 0.5, resets_at=500.5, seen_at=101, status="allowed_warning")
    async with database.transaction() as connection:
        await health.save_windows(connection, first, [WEEK, FIVE])
        await health.save_windows(connection, second, [WEEK])
        await health.save_windows(connection, first, [newer])
        assert await health.windows(connection) == {first: (newer, WEEK), second: (WEEK,)}


async def test_accounts_that_are_gone_have_no_health(
    database: Database, account_ids: list[int]
) -> None:
    async with database.transaction() as connection:
        await health.save_cooldowns(connection, [BURST])
        await health.save_windows(connection, account_ids[0], [FIVE])
        await accounts.delete(connection, account_ids[0])
        assert await health.cooldowns(connection) == []
        assert await health.windows(connection) == {}


async def test_health_is_not_configuration(database: Database, account_ids: list[int]) -> None:
    async with database.transaction() as connection:
        before = await stamp.read(connection)
        await health.save_cooldowns(connection, [BURST])
        await health.save_cooldowns(connection, [BURST])
        await health.save_windows(connection, account_ids[0], [FIVE])
        assert await stamp.read(connection) == before
