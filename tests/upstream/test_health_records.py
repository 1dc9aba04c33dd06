"""Writing health down, and telling the other processes."""

from __future__ import annotations

import asyncio

import pytest

from sub2api.errors import StoreError
from sub2api.model.health import Cooldown, UsageWindow
from sub2api.upstream.health_records import Changes, Writer
from tests.fakes.health import LocalWire, MemoryRecords

NOW = 1764028800.0


def row(account_id: int = 1, model: str = "", until: float = NOW + 5) -> Cooldown:
    return Cooldown(account_id, model, "burst", NOW, until)


def writer(records: MemoryRecords, wire: LocalWire | None = None) -> Writer:
    return Writer(records, wire or LocalWire(), "me")


async def test_one_flush_writes_the_last_of_each_account_and_model() -> None:
    records = MemoryRecords()
    it = writer(records)
    for until in range(100):
        it.rest(row(until=NOW + until))
    it.rest(row(model="m"))
    it.windows(1, (UsageWindow("5h", 0.5, NOW, NOW),))
    it.out_of_use(row(2))
    await it.flush()
    assert len(records.writes) == 1
    assert records.rows == {(1, ""): row(until=NOW + 99), (1, "m"): row(model="m")}
    assert records.out_of_use == {2: ""}
    await it.flush()
    assert len(records.writes) == 1


async def test_what_cannot_be_saved_is_saved_later_unless_something_newer_came(
    caplog: pytest.LogCaptureFixture,
) -> None:
    records = MemoryRecords()
    it = writer(records)
    records.broken = True
    it.rest(row(1))
    it.rest(row(2))
    it.out_of_use(row(3))
    await it.flush()
    await it.flush()
    it.rest(row(2, until=NOW + 77))
    records.broken = False
    await it.flush()
    assert records.rows == {(1, ""): row(1), (2, ""): row(2, until=NOW + 77)}
    assert set(records.out_of_use) == {3}
    assert caplog.text.count("cannot be saved") == 1


async def test_others_are_told_once_also_while_the_store_is_away() -> None:
    records, wire = MemoryRecords(), LocalWire()
    it = writer(records, wire)
    records.broken = True
    it.rest(row())
    await it.flush()
    await it.flush()
    assert len(wire.sent) == 1


async def test_the_loop_writes_by_itself_as_changes_come() -> None:
    saved = asyncio.Event()

    class Told(MemoryRecords):
        async def save(self, changes: Changes) -> None:
            await super().save(changes)
            saved.set()

    it = writer(Told())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(it.run())
        it.rest(row())
        await asyncio.wait_for(saved.wait(), 5)
        running.cancel()


async def test_a_cancelled_write_is_not_lost() -> None:
    begun = asyncio.Event()

    class Slow(MemoryRecords):
        async def save(self, changes: Changes) -> None:
            if not begun.is_set():
                begun.set()
                await asyncio.Event().wait()
            await super().save(changes)

    records = Slow()
    it = writer(records)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(it.run())
        it.rest(row())
        await begun.wait()
        running.cancel()
    await it.flush()
    assert set(records.rows) == {(1, "")}


async def test_what_the_store_never_takes_does_not_keep_the_rest_from_being_saved(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Picky(MemoryRecords):
        async def save(self, changes: Changes) -> None:
            if any(row.model == "impossible" for row in changes.cooldowns):
                raise StoreError("a text that cannot be stored", transient=False)
            await super().save(changes)

    records = Picky()
    it = writer(records)
    it.rest(row(1))
    it.rest(row(2, model="impossible"))
    it.out_of_use(row(3))
    await it.flush()
    assert set(records.rows) == {(1, "")}
    assert set(records.out_of_use) == {3}
    assert "never be saved" in caplog.text
    records.writes.clear()
    await it.flush()
    assert records.writes == []
