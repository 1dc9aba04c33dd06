"""Many calls over few connections: none is left waiting for an answer that came."""

from __future__ import annotations

import asyncio
import json

from sub2api.clock import Clock
from sub2api.demo.script import Play, Refuse
from sub2api.demo.upstream import DemoUpstream
from sub2api.errors import TransportError
from sub2api.transport.messages import Deadlines, Request
from sub2api.transport.pool import Pool
from sub2api.transport.url_guard import Guard, Policy

CALLS = 2000


async def test_an_answer_is_never_lost_when_its_connection_is_reused_at_once() -> None:
    """The next call may begin before the reader of the last one has woken up."""
    upstream = DemoUpstream()
    await upstream.start()
    pool = Pool(Clock(), Guard(Policy(allow_loopback_http=True)))
    headers = [(b"x-api-key", b"k"), (b"content-type", b"application/json")]
    turns = asyncio.Semaphore(24)

    async def call(number: int) -> int:
        body = {"model": "m", "stream": number % 2 == 0, "messages": []}
        request = Request(
            "POST", upstream.base_url + "/v1/messages", headers, json.dumps(body).encode()
        )
        async with turns, asyncio.timeout(5):
            if number % 13 == 0:
                upstream.script("k", Refuse(429))
            if number % 41 == 0:
                upstream.script("k", Play(cut_after=3, cut_how="rst"))

            try:
                response = await pool.send(
                    request, lane="a", limit=0, proxy=None, deadlines=Deadlines(5, 10, 10)
                )
            except TransportError:
                return 1  # reset in the moment of its reuse
            try:
                if number % 11 == 0:
                    return len(await response.chunk())
                return len(await response.read(1 << 20))
            except TransportError:
                return 1  # the scripted cuts
            finally:
                response.close()

    try:
        sizes = await asyncio.gather(*(call(number) for number in range(CALLS)))
    finally:
        await pool.close()
        await upstream.stop()
    assert all(sizes)
