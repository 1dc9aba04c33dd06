"""Fast senders, slow readers, large bodies, and calls that end before they are over."""

from __future__ import annotations

import asyncio

import pytest

from sub2api.errors import TransportError
from sub2api.transport.messages import Deadlines
from sub2api.transport.pool import Pool
from sub2api.transport.response import HIGH_WATER, PooledResponse
from tests.transport.peers import (
    OK,
    Received,
    answering,
    ask,
    deaf,
    listening,
    pooling,
    read_head,
    silent,
)
from tests.transport.replies import LENGTH, exchange, flood, in_pieces


async def test_a_slow_reader_holds_at_most_256_kib_of_50_mb(pool: Pool) -> None:
    size, sent, got, most = 50_000_000, [0], 0, 0
    async with listening(flood(sent, size)) as peer:
        response = await ask(pool, peer.url)
        assert isinstance(response, PooledResponse)
        await asyncio.sleep(0.2)
        assert sent[0] < size / 2  # the upstream is held up: kernel buffers are full
        while data := await response.chunk():
            got += len(data)
            most = max(most, len(data), response.held)
            for _ in range(3):
                await asyncio.sleep(0)
                most = max(most, response.held)
        assert got == size
        assert HIGH_WATER <= most <= 262144
        assert pool.connections("a") == (1, 1)


async def test_a_connection_that_was_held_up_to_the_end_is_used_again(pool: Pool) -> None:
    size = HIGH_WATER + 2000  # the reply is complete in the moment in which it becomes too much
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + bytes(size)
    async with listening(answering(whole)) as peer:
        for _ in range(3):
            response = await ask(pool, peer.url)
            await asyncio.sleep(0.02)
            assert await response.read(size) == bytes(size)
        assert peer.accepted == 1


async def test_a_closed_response_lets_go_of_everything(pool: Pool) -> None:
    sent = [0]
    async with listening(flood(sent, 50_000_000)) as peer:
        response = await ask(pool, peer.url)
        assert isinstance(response, PooledResponse)
        await response.chunk()
        response.close()
        response.close()
        assert response.held == 0
        with pytest.raises(TransportError, match="was closed"):
            await response.chunk()
        await peer.until_open(0)
    assert pool.connections("a") == (0, 0)


async def test_closing_wakes_whoever_waits_for_a_chunk(pool: Pool) -> None:
    async with listening(in_pieces(LENGTH[:-2])) as peer, asyncio.TaskGroup() as tasks:
        response = await ask(pool, peer.url)
        assert await response.chunk() == b"hello, wor"

        async def reader() -> str:
            with pytest.raises(TransportError) as caught:
                await response.chunk()
            return caught.value.cause

        waiting = tasks.create_task(reader())
        await asyncio.sleep(0.02)
        response.close()
        assert await waiting == "reset"


async def test_a_body_larger_than_the_limit_is_refused(pool: Pool) -> None:
    async with listening(answering(LENGTH)) as peer:
        response = await ask(pool, peer.url)
        with pytest.raises(TransportError) as caught:
            await response.read(11)
        assert (caught.value.cause, caught.value.sent) == ("too_large", True)
        response = await ask(pool, peer.url)
        assert await response.read(12) == b"hello, world"


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 262144, 262145, 5_000_000])
async def test_bodies_of_every_size_arrive_whole(pool: Pool, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    log: list[Received] = []
    async with listening(answering(OK, log=log)) as peer:
        for _ in range(2):
            assert await exchange(pool, peer, body=body) == (200, b"ok")
        assert peer.accepted == 1
    assert [received.body == body for received in log] == [True, True]


async def test_an_upload_waits_for_the_upstream_and_has_a_deadline(pool: Pool) -> None:
    async with listening(deaf()) as peer:
        with pytest.raises(TransportError) as caught:
            await ask(pool, peer.url, body=bytes(40_000_000), deadlines=Deadlines(2, 0.2, 9))
        assert (caught.value.cause, caught.value.sent) == ("first_byte_timeout", True)
    assert pool.connections("a") == (0, 0)


async def test_an_early_answer_stops_the_upload(pool: Pool) -> None:
    taken = [0]

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 12\r\n\r\nhello")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(b", world")
        while data := await reader.read(65536):
            taken[0] += len(data)

    async with listening(refuse) as peer:
        response = await ask(pool, peer.url, body=bytes(60_000_000))
        assert response.status == 413
        assert await response.read(99) == b"hello, world"
        await peer.until_open(0)
    assert taken[0] < 30_000_000
    assert pool.connections("a") == (0, 0)


async def test_a_connection_that_breaks_during_an_upload_is_reset(pool: Pool) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(100_000)

    async with listening(hang_up) as peer:
        with pytest.raises(TransportError) as caught:
            await ask(pool, peer.url, body=bytes(60_000_000))
    assert (caught.value.cause, caught.value.sent) == ("reset", True)


@pytest.mark.parametrize("stage", ["upload", "head", "chunk"])
async def test_cancelling_closes_the_connection_and_leaks_nothing(pool: Pool, stage: str) -> None:
    script = {"upload": deaf(), "head": silent(), "chunk": in_pieces(LENGTH[:-2])}[stage]
    body = bytes(40_000_000) if stage == "upload" else b"{}"

    async def call() -> None:
        response = await ask(pool, peer.url, body=body, limit=1)
        while await response.chunk():
            pass

    async with listening(script) as peer:
        task = asyncio.get_running_loop().create_task(call())
        await peer.until_open(1)
        await asyncio.sleep(0.05)
        assert pool.connections("a") == (1, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.connections("a") == (0, 0)
        if stage != "upload":
            await peer.until_open(0)


async def test_cancelling_a_quick_upload_between_its_slices_closes_the_connection() -> None:
    async with pooling() as pool, listening(answering(OK)) as peer:
        for turns in range(1, 12):
            task = asyncio.get_running_loop().create_task(
                ask(pool, peer.url, body=bytes(3_000_000), lane=str(turns))
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert pool.connections(str(turns)) == (0, 0)
