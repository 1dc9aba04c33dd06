"""CPU per call of the relay's pool and of httpx, on kept loopback connections.

Run it: `python tests/bench/pool.py [calls]`. The upstream is another process, so that only the
client's own work is counted. Prints one line per client and kind of call.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).parents[2]))

import httpx
import uvloop

from sub2api.clock import Clock
from sub2api.transport.messages import Deadlines, Request
from sub2api.transport.pool import Pool
from sub2api.transport.url_guard import Guard, Policy

WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 512\r\n\r\n" + b"x" * 512
)
EVENT = b"data: " + b"x" * 120 + b"\n\n"
STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    + b"%x\r\n%b\r\n" % (len(EVENT), EVENT) * 50
    + b"0\r\n\r\n"
)
HEADERS = (
    (b"content-type", b"application/json"),
    (b"x-api-key", b"sk-ant-" + b"k" * 90),
    (b"anthropic-version", b"2023-06-01"),
    (b"user-agent", b"bench/1.0"),
)
BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"y" * 4000 + b'"}]}'
Call = Callable[[], Awaitable[None]]


class Upstream(asyncio.Protocol):
    """Answers each request, which arrives in one piece here, at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.waiting = 0

    def data_received(self, data: bytes) -> None:
        self.waiting += len(data)
        if data.endswith(b"}"):
            self.transport.write(STREAM if b"/stream" in data[:40] else WHOLE)


def serve(pipe: Pipe) -> None:
    """Run the upstream until killed; tell its port."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def measured(name: str, call: Call, calls: int, width: int) -> None:
    """Print what a call costs with `width` of them at once."""

    async def worker(count: int) -> None:
        for _ in range(count):
            await call()

    await asyncio.gather(*(worker(20) for _ in range(width)))
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker(calls // width) for _ in range(width)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:34} {cpu / calls * 1e3:7.3f} ms CPU a call {calls / wall:9.0f} calls/s")


def ours(pool: Pool, url: str) -> Call:
    """Return a call through the pool."""
    request, deadlines = Request("POST", url, HEADERS, BODY), Deadlines()

    async def call() -> None:
        response = await pool.send(request, lane="a", limit=0, proxy=None, deadlines=deadlines)
        while await response.chunk():
            pass
        response.close()

    return call


def theirs(client: httpx.AsyncClient, url: str) -> Call:
    """Return the same call through httpx."""
    headers = dict(HEADERS)

    async def call() -> None:
        async with client.stream("POST", url, headers=headers, content=BODY) as response:
            async for _ in response.aiter_raw():
                pass

    return call


async def main(port: int, calls: int) -> None:
    """Measure both clients."""
    pool = Pool(Clock(), Guard(Policy(allow_loopback_http=True)))
    async with httpx.AsyncClient(timeout=600) as client:
        for width in (1, 20):
            for kind in ("whole", "stream"):
                url, label = f"http://127.0.0.1:{port}/{kind}", f"{kind}, {width} at once"
                await measured(f"pool  {label}", ours(pool, url), calls, width)
                await measured(f"httpx {label}", theirs(client, url), calls // 10, width)
    await pool.close()


if __name__ == "__main__":
    near, far = multiprocessing.Pipe()
    upstream = multiprocessing.get_context("spawn").Process(target=serve, args=(far,), daemon=True)
    upstream.start()
    try:
        uvloop.run(main(near.recv(), int(sys.argv[1]) if len(sys.argv) > 1 else 5000))
    finally:
        upstream.kill()
