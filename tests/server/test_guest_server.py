"""Hypercorn in this house: slow readers, and floods of HTTP/2's frames."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import h2.connection
import h2.events
import pytest
from h2.errors import ErrorCodes

from sub2api.demo.upstream import DemoUpstream
from sub2api.gateway.pipeline import Pipeline
from sub2api.server.lane import Lane
from sub2api.server.run import serving
from tests.fakes.raw_client import Http2Client, RawClient, raw_client
from tests.fakes.world import World, running_world

Machine = h2.connection.H2Connection


@pytest.fixture
async def express(tmp_path: Path, upstream: DemoUpstream) -> AsyncIterator[World]:
    async with running_world(tmp_path, upstream) as running:
        yield running


async def last_words(client: RawClient, machine: Machine) -> h2.events.ConnectionTerminated | None:
    """Read to the end; return what HTTP/2 said at last."""
    said = None
    async with asyncio.timeout(20):
        while data := await client.reader.read(65536):
            for event in machine.receive_data(data):
                if isinstance(event, h2.events.ConnectionTerminated):
                    said = event
    return said


def reset(http2: Http2Client) -> None:
    http2.machine.reset_stream(http2.ask("/health"))


def ping(http2: Http2Client) -> None:
    http2.machine.ping(b"12345678")


def nothing(http2: Http2Client) -> None:
    http2.machine.update_settings({})


@pytest.mark.parametrize("flood", [reset, ping, nothing])
async def test_a_flood_of_frames_is_told_to_calm_down(
    express: World, flood: Callable[[Http2Client], None]
) -> None:
    async with raw_client(express.base_url) as client:
        http2 = await Http2Client.begin(client)
        (answer,) = await http2.until_ended(http2.ask("/health"))
        assert answer.status == 200
        for _ in range(1100):
            flood(http2)
        client.writer.write(http2.machine.data_to_send())
        said = await last_words(client, http2.machine)
        assert said is not None
        assert said.error_code == ErrorCodes.ENHANCE_YOUR_CALM


async def test_many_calls_at_once_and_a_few_resets_are_no_flood(express: World) -> None:
    async with raw_client(express.base_url) as client:
        http2 = await Http2Client.begin(client)
        for _ in range(15):
            streams = [http2.ask("/health") for _ in range(80)]
            reset(http2)
            ping(http2)
            answers = await http2.until_ended(*streams)
            assert {each.status for each in answers} == {200}


async def test_who_floods_and_never_reads_is_closed_all_the_same(express: World) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    async with serving(Pipeline(express.parts), [listener]) as lane:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with raw_client(url, receive_buffer=4096) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it has it
            http2 = await Http2Client.begin(client)
            for _ in range(2000):
                ping(http2)
            client.writer.write(http2.machine.data_to_send())
            await until_open(lane, 1)
            async with asyncio.timeout(10):
                while lane.open:
                    await asyncio.sleep(0.05)


async def until_open(lane: Lane, count: int) -> None:
    async with asyncio.timeout(5):
        while lane.open != count:
            await asyncio.sleep(0.01)


async def test_a_stream_whose_window_is_shut_holds_its_writer_back() -> None:
    from hypercorn.asyncio.worker_context import EventWrapper
    from hypercorn.protocol.h2 import BUFFER_HIGH_WATER

    from sub2api.server.guest_server import BoundedBuffer

    buffer = BoundedBuffer(EventWrapper)
    writing = asyncio.ensure_future(buffer.push(bytes(BUFFER_HIGH_WATER)))
    await asyncio.sleep(0)
    assert await buffer.pop(0) == b""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not writing.done(), "nothing was taken, and so there is room for nothing"
    assert len(await buffer.pop(BUFFER_HIGH_WATER)) == BUFFER_HIGH_WATER
    async with asyncio.timeout(1):
        await writing
        await buffer.drain()
