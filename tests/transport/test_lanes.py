"""The rules of a lane, by themselves: turns, room, and connections that go down meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from sub2api.errors import TransportError
from sub2api.transport.connection import Connection
from sub2api.transport.lanes import Lane
from sub2api.transport.messages import Origin
from tests.transport.peers import SetClock

HERE: Origin = ("https", "here.test", 443, None)
THERE: Origin = ("https", "there.test", 443, None)


@pytest.fixture
def lane() -> Lane:
    return Lane(SetClock(), 90.0)


async def opened(lane: Lane, origin: Origin = HERE, limit: int = 2) -> Connection:
    assert await lane.admit(origin, limit) is None
    connection = Connection(lane, origin, memoryview(bytearray(16)))
    lane.opened(connection)
    return connection


async def waiting(
    lane: Lane, origin: Origin = HERE, limit: int = 1
) -> asyncio.Task[Connection | None]:
    task = asyncio.get_running_loop().create_task(lane.admit(origin, limit))
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_a_freed_connection_goes_to_the_first_in_the_queue(lane: Lane) -> None:
    connection = await opened(lane, limit=1)
    first, second = await waiting(lane), await waiting(lane)
    lane.release(connection, reusable=True)
    assert lane.reuse(HERE, 9) is None  # nobody jumps the queue
    assert await first is connection
    assert not second.done()
    lane.release(connection, reusable=False)
    assert await second is None
    assert lane.open == 1
    lane.not_opened()
    assert lane.is_empty


async def test_an_idle_connection_is_admitted_before_a_new_one_is_opened(lane: Lane) -> None:
    connection = await opened(lane)
    lane.release(connection, reusable=True)
    assert await lane.admit(HERE, 2) is connection
    assert (lane.open, lane.idle) == (1, 0)


async def test_one_who_wants_another_host_gets_room_instead(lane: Lane) -> None:
    connection = await opened(lane, limit=1)
    other = await waiting(lane, THERE)
    lane.release(connection, reusable=True)
    assert await other is None
    assert connection.closed
    assert (lane.open, lane.idle) == (1, 0)


async def test_a_grant_that_nobody_takes_goes_to_the_next(lane: Lane) -> None:
    connection = await opened(lane, limit=1)
    first, second = await waiting(lane), await waiting(lane)
    lane.release(connection, reusable=True)
    first.cancel()  # in the moment it was granted
    assert await second is connection
    with pytest.raises(asyncio.CancelledError):
        await first
    third = await waiting(lane)
    lane.release(connection, reusable=False)
    third.cancel()
    await asyncio.gather(third, return_exceptions=True)
    assert lane.is_empty


async def test_one_who_left_before_the_grant_is_passed_over(lane: Lane) -> None:
    connection = await opened(lane, limit=1)
    first, second = await waiting(lane), await waiting(lane)
    first.cancel()
    lane.release(connection, reusable=True)
    assert await second is connection
    await asyncio.gather(first, return_exceptions=True)
    assert lane.open == 1


async def test_a_higher_limit_serves_the_queue_at_once(lane: Lane) -> None:
    await opened(lane, limit=1)
    first = await waiting(lane, limit=1)
    second = await waiting(lane, limit=1)
    newcomer = asyncio.get_running_loop().create_task(lane.admit(HERE, 4))
    await asyncio.sleep(0)
    assert not newcomer.done()  # the limit is each call's own, and the turn is the first one's
    first.cancel()
    second.cancel()
    assert await newcomer is None
    await asyncio.gather(first, second, return_exceptions=True)
    assert lane.open == 2


async def test_an_idle_connection_that_goes_down_is_forgotten(lane: Lane) -> None:
    connection = await opened(lane)
    lane.release(connection, reusable=True)
    assert (lane.open, lane.idle) == (1, 1)
    lane.lost(connection)
    lane.lost(connection)
    assert (lane.open, lane.idle) == (0, 0)


async def test_a_busy_connection_that_goes_down_counts_until_its_exchange_is_over(
    lane: Lane,
) -> None:
    connection = await opened(lane)
    lane.lost(connection)
    assert lane.open == 1
    lane.release(connection, reusable=False)
    assert lane.open == 0


async def test_connections_at_the_edge_of_their_time(lane: Lane) -> None:
    clock = lane._clock
    assert isinstance(clock, SetClock)
    connection = await opened(lane)
    lane.release(connection, reusable=True)
    clock.moment += 0.5
    assert lane.reuse(HERE, 2) is connection
    assert lane.reuse(HERE, 2) is None
    lane.release(connection, reusable=True)
    clock.moment += 90
    assert lane.reuse(HERE, 2) is None
    assert lane.is_empty


async def test_a_closed_lane_admits_nobody(lane: Lane) -> None:
    connection = await opened(lane, limit=1)
    queued = await waiting(lane)
    left = await waiting(lane)
    left.cancel()
    lane.close()
    with pytest.raises(TransportError, match="closed") as caught:
        await queued
    assert (caught.value.cause, caught.value.sent) == ("busy", False)
    with pytest.raises(TransportError, match="closed"):
        await lane.admit(HERE, 9)
    assert connection.closed
    lane.release(connection, reusable=True)
    assert lane.is_empty
    await asyncio.gather(left, return_exceptions=True)
