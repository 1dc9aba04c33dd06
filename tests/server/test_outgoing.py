"""Slow readers: who waits for them, and how long."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from sub2api.server.lane import STALL_SECONDS
from sub2api.server.outgoing import Outgoing


class Buffer:
    """A transport whose client reads when the test says so."""

    def __init__(self) -> None:
        self.unread = 0

    def get_write_buffer_size(self) -> int:
        return self.unread


def outgoing() -> tuple[Outgoing, Buffer]:
    lane: Any = SimpleNamespace(clock=SimpleNamespace(monotonic=lambda: 100.0))
    made, buffer = Outgoing(lane), Buffer()
    made._transport = buffer  # type: ignore[assignment]
    return made, buffer


async def test_writers_wait_until_the_client_has_caught_up() -> None:
    out, buffer = outgoing()
    await out.until_writable()
    buffer.unread = 70_000
    out.pause_writing()
    writers = asyncio.gather(*(out.until_writable() for _ in range(3)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not writers.done()
    out.resume_writing()
    async with asyncio.timeout(1):
        await writers


async def test_one_writer_that_gives_up_leaves_the_others_waiting() -> None:
    out, _ = outgoing()
    out.pause_writing()
    leaving, staying = (asyncio.ensure_future(out.until_writable()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not staying.done()
    out.resume_writing()
    async with asyncio.timeout(1):
        await staying


async def test_who_takes_something_gets_another_two_minutes_and_who_does_not_gets_none() -> None:
    out, buffer = outgoing()
    assert not out.reads_on(0.0), "nothing waits for it"
    buffer.unread = 70_000
    out.pause_writing()
    assert out.deadline == 100 + STALL_SECONDS
    buffer.unread = 69_999
    assert out.reads_on(220.0)
    assert out.deadline == 220 + STALL_SECONDS
    assert not out.reads_on(340.0)
