"""What connections share: limits, deadlines, the drain."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sub2api.server import lane as lane_module
from sub2api.server.lane import NEVER, Lane
from tests.fakes.world import settings_for


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> float:
        return self.seconds


class Connection:
    """Keeps what it is told."""

    def __init__(self, peer: str = "192.0.2.1", lane: Lane | None = None) -> None:
        self.peer = peer
        self.deadline = NEVER
        self.told: list[str] = []
        self._lane = lane

    def overdue(self, now: float) -> None:
        self.told.append(f"overdue {now:g}")
        self.deadline = NEVER

    def drain(self) -> None:
        self.told.append("drain")
        if self._lane is not None:
            self._lane.forget(self)

    def cut(self) -> None:
        self.told.append("cut")


def lane_of(directory: Path, **environment: str) -> tuple[Lane, Hand]:
    clock = Hand()
    parts = SimpleNamespace(settings=settings_for(directory, **environment), clock=clock)
    pipeline: Any = SimpleNamespace(parts=parts)
    return Lane(pipeline), clock


async def over(lane: Lane) -> None:
    """End a lane, so that it leaves no timer."""
    lane._emptied.set()
    await lane.drain(0)


async def test_connections_are_counted_and_forgotten_once(tmp_path: Path) -> None:
    lane, _ = lane_of(tmp_path)
    first, second = Connection(), Connection()
    assert lane.admit(first)
    assert lane.admit(second)
    assert lane.open == 2
    lane.forget(first)
    lane.forget(first)
    assert lane.open == 1
    lane.forget(Connection())
    assert lane.open == 1
    assert lane._by_address == {"192.0.2.1": 1}
    lane.forget(second)
    assert not lane._by_address
    await over(lane)


async def test_there_is_a_limit_of_all_connections(tmp_path: Path) -> None:
    lane, _ = lane_of(tmp_path, SERVER_MAX_CONNECTIONS="2")
    kept = [Connection("192.0.2.1"), Connection("192.0.2.2")]
    assert all(lane.admit(each) for each in kept)
    refused = Connection("192.0.2.3")
    assert not lane.admit(refused)
    lane.forget(refused)
    assert lane.open == 2
    lane.forget(kept[0])
    assert lane.admit(refused)
    await over(lane)


async def test_there_is_a_limit_per_address(tmp_path: Path) -> None:
    lane, _ = lane_of(
        tmp_path, SERVER_MAX_CONNECTIONS_PER_ADDRESS="2", SERVER_TRUSTED_PROXIES="10.0.0.0/8"
    )
    kept = [Connection(), Connection()]
    assert all(lane.admit(each) for each in kept)
    assert not lane.admit(Connection())
    assert lane.admit(Connection("192.0.2.2"))
    assert all(lane.admit(Connection("10.1.2.3")) for _ in range(5))
    lane.forget(kept[0])
    assert lane.admit(Connection())
    assert not lane.admit(Connection())
    await over(lane)


async def test_zero_is_no_limit_per_address(tmp_path: Path) -> None:
    lane, _ = lane_of(tmp_path, SERVER_MAX_CONNECTIONS_PER_ADDRESS="0")
    assert all(lane.admit(Connection()) for _ in range(5000))
    await over(lane)


async def test_a_handed_over_connection_still_counts(tmp_path: Path) -> None:
    lane, _ = lane_of(tmp_path, SERVER_MAX_CONNECTIONS="1", SERVER_MAX_CONNECTIONS_PER_ADDRESS="1")
    old, new = Connection(), Connection()
    lane.admit(old)
    lane.replace(old, new)
    assert lane.open == 1
    lane.forget(old)
    assert lane.open == 1
    assert not lane.admit(Connection())
    lane.forget(new)
    assert lane.open == 0
    assert lane.admit(Connection())
    await over(lane)


async def test_refusals_are_logged_at_most_every_ten_seconds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lane, clock = lane_of(tmp_path, SERVER_MAX_CONNECTIONS="1")
    lane.admit(Connection())
    with caplog.at_level(logging.WARNING):
        for now, said in ((0, 1), (5, 1), (10, 1), (10.5, 2), (11, 2)):
            clock.seconds = now
            assert not lane.admit(Connection())
            assert len(caplog.records) == said
    assert caplog.records[0].__dict__["limit"] == "server.max_connections"
    await over(lane)


async def test_who_is_overdue_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "_SWEEP_SECONDS", 0.001)
    lane, clock = lane_of(tmp_path)
    late, early, never = Connection(), Connection(), Connection()
    late.deadline, early.deadline = 5.0, 6.0
    for each in (late, early, never):
        lane.admit(each)
    await asyncio.sleep(0.02)
    assert late.told == []
    clock.seconds = 5.0
    await asyncio.sleep(0.02)
    assert (late.told, early.told, never.told) == (["overdue 5"], [], [])
    clock.seconds = 9.0
    await asyncio.sleep(0.02)
    assert (late.told, early.told, never.told) == (["overdue 5"], ["overdue 9"], [])
    await over(lane)


async def test_nobody_looks_when_nobody_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "_SWEEP_SECONDS", 0.001)
    lane, clock = lane_of(tmp_path)
    assert lane._timer is None
    connection = Connection()
    lane.admit(connection)
    assert lane._timer is not None
    lane.forget(connection)
    await asyncio.sleep(0.02)
    assert lane._timer is None
    connection.deadline, clock.seconds = 1.0, 2.0
    lane.admit(connection)
    await asyncio.sleep(0.02)
    assert connection.told == ["overdue 2"]
    await over(lane)


async def test_the_date_is_made_anew_with_every_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "_SWEEP_SECONDS", 0.001)
    lane, clock = lane_of(tmp_path)
    clock.seconds = 784111777.2
    lane.admit(Connection())
    assert lane.dates.line == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    clock.seconds += 1
    await asyncio.sleep(0.02)
    assert lane.dates.line == b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"
    await over(lane)


async def test_a_drain_waits_for_calls_that_run(tmp_path: Path) -> None:
    lane, _ = lane_of(tmp_path)
    idle, busy = Connection(lane=lane), Connection()
    lane.admit(idle)
    lane.admit(busy)
    asyncio.get_running_loop().call_later(0.02, lane.forget, busy)
    async with asyncio.timeout(5):
        await lane.drain(60)
    assert (idle.told, busy.told) == (["drain"], ["drain"])
    assert lane.open == 0


async def test_a_drain_ends_in_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lane, _ = lane_of(tmp_path)
    busy = Connection()
    lane.admit(busy)
    async with asyncio.timeout(5):
        await lane.drain(0.02)
    assert busy.told == ["drain", "cut"]
    assert [each.getMessage() for each in caplog.records] == ["connections are cut"]


async def test_who_comes_during_a_drain_may_ask_but_must_be_quick(tmp_path: Path) -> None:
    lane, clock = lane_of(tmp_path)
    patient = lane.first_deadline() - clock.monotonic()
    await lane.drain(1)
    assert lane.admit(Connection())
    assert lane.first_deadline() - clock.monotonic() == 2.0 < patient


async def test_a_drain_that_comes_after_an_empty_moment_still_waits(tmp_path: Path) -> None:
    lane, _ = lane_of(tmp_path)
    gone, busy = Connection(), Connection()
    lane.admit(gone)
    lane.forget(gone)
    lane.admit(busy)
    asyncio.get_running_loop().call_later(0.05, lane.forget, busy)
    await lane.drain(5)
    assert lane.open == 0
    assert busy.told == ["drain"]


async def test_a_lane_alone_hands_nothing_over(tmp_path: Path) -> None:
    lane, _ = lane_of(tmp_path)
    with pytest.raises(RuntimeError):
        lane.hand_over(Connection(), None, b"")
