"""Limits of a lane, and whose turn it is."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from sub2api.errors import TransportError
from sub2api.transport.messages import Deadlines
from sub2api.transport.pool import Pool
from tests.transport.peers import OK, ask, listening, pooling, read_request, silent
from tests.transport.replies import cause_of, whole


async def test_a_lane_never_has_more_connections_than_its_limit(pool: Pool) -> None:
    most = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        while True:
            await read_request(reader)
            most = max(most, peer.open)
            await asyncio.sleep(0.01)
            writer.write(OK)

    async with listening(slow) as peer:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(12):
                tasks.create_task(whole(pool, peer, limit=3))
        assert most == 3
        assert peer.accepted == 3


async def test_a_limit_of_zero_is_the_pools_own() -> None:
    async with pooling(max_connections_per_lane=2) as pool, listening(silent()) as peer:
        brief = Deadlines(0.1, 0.3, 1)
        calls = [ask(pool, peer.url, limit=0, deadlines=brief) for _ in range(3)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        causes = sorted(error.cause for error in ended if isinstance(error, TransportError))
        assert causes == ["busy", "first_byte_timeout", "first_byte_timeout"]
        assert peer.accepted == 2


async def test_waiting_for_a_connection_ends_with_the_connect_deadline(pool: Pool) -> None:
    async with listening(silent()) as peer, asyncio.TaskGroup() as tasks:
        brief = Deadlines(1, 0.2, 1)
        hanging = tasks.create_task(
            cause_of(ask(pool, peer.url, lane="b", limit=1, deadlines=brief))
        )
        await peer.until_open(1)
        with pytest.raises(TransportError) as caught:
            await ask(pool, peer.url, lane="b", limit=1, deadlines=Deadlines(0.05, 1, 1))
        assert (caught.value.cause, caught.value.sent) == ("busy", False)
        assert await hanging == "first_byte_timeout"
    assert pool.connections("b") == (0, 0)


async def test_whoever_waits_longest_is_served_first(pool: Pool) -> None:
    order: list[int] = []

    async def call(number: int) -> None:
        await whole(pool, peer, limit=1)
        order.append(number)

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            await asyncio.sleep(0.005)
            writer.write(OK)

    async with listening(slow) as peer:
        async with asyncio.TaskGroup() as tasks:
            for number in range(8):
                tasks.create_task(call(number))
                await asyncio.sleep(0)
        assert order == list(range(8))
        assert peer.accepted == 1


async def test_a_connection_that_breaks_while_it_is_handed_on_is_replaced(pool: Pool) -> None:
    async def overflow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(0.02)
        writer.write(OK + b"HTTP/1.1 200 OK\r\n")
        await reader.read()

    async with listening(overflow) as peer:
        calls = (whole(pool, peer, limit=1) for _ in range(3))
        assert await asyncio.gather(*calls) == [b"ok"] * 3
        assert peer.accepted == 3
    assert pool.connections("a") == (0, 0)


async def test_a_storm_of_calls_that_end_in_every_way_leaks_nothing(pool: Pool) -> None:
    chance = random.Random(11)
    streams = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"
    endings = [OK, streams + b"0\r\n\r\n", streams, b"garbage", OK + b"x", b""]

    async def moody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            await asyncio.sleep(chance.random() * 0.004)
            ending = chance.choice(endings)
            writer.write(ending)
            if ending in (streams, b""):
                await asyncio.sleep(0.01)
                return

    async def call() -> None:
        with suppress(TransportError, TimeoutError):
            async with asyncio.timeout(chance.random() * 0.08):
                response = await ask(pool, peer.url, limit=3, deadlines=Deadlines(0.05, 1, 1))
                try:
                    assert (await response.chunk()) in {b"ok", b""}
                finally:
                    response.close()

    async with listening(moody) as peer:
        for _ in range(12):
            await asyncio.gather(*(call() for _ in range(25)))
            connections, idle = pool.connections("a")
            assert connections == idle <= 3
        assert peer.accepted > 50
        await pool.close()
        await peer.until_open(0)


async def test_cancelling_a_wait_gives_its_turn_to_the_next(pool: Pool) -> None:
    loop = asyncio.get_running_loop()
    async with listening(silent()) as peer:
        first = loop.create_task(ask(pool, peer.url, limit=1))
        await peer.until_open(1)
        second = loop.create_task(ask(pool, peer.url, limit=1))
        third = loop.create_task(ask(pool, peer.url, limit=1))
        await asyncio.sleep(0)
        first.cancel()  # grants its room to the second ...
        second.cancel()  # ... which leaves in the same moment
        await asyncio.gather(first, second, return_exceptions=True)
        async with asyncio.timeout(2):
            while peer.accepted < 2:
                await asyncio.sleep(0.005)
        assert pool.connections("a") == (1, 0)
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
        assert pool.connections("a") == (0, 0)
