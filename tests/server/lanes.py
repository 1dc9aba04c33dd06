"""Send raw bytes to both lanes, and tell what the application saw of them.

The application is a stub in the pipeline's place: it answers every call with 200 and, in a header,
with what it was given.
"""

from __future__ import annotations

import ast
import asyncio
import re
import socket
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sub2api.clock import Clock
from sub2api.gateway.bodies import Budget
from sub2api.gateway.call import Call, Reply
from sub2api.monitoring.metrics import Metrics
from sub2api.server.run import serving
from tests.fakes.world import settings_for
from tests.server.wire import LIMIT

SENTINEL = b"GET /v1/usage HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n"
"""Sent behind every case: only who has found the case's end sees it as a request of its own."""
_LAST = re.compile(rb"HTTP/1\.0\r\n|\r\nConnection: [^\r\n]*close", re.IGNORECASE)
"""Cases that end their connection: what comes behind them is the client's mistake, and no test."""
_SILENCE = 1.5
_COLD_START = 20.0
_AT_ONCE = 24
_REPLY = re.compile(rb"HTTP/1\.1 (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
_SEEN = re.compile(rb"x-seen: ([^\r\n]+)\r\n")

Item = str | tuple[object, ...]
Outcome = tuple[Item, ...]


class Echo:
    """Stands for the pipeline."""

    def __init__(self, directory: Path, **environment: str) -> None:
        settings = settings_for(
            directory,
            SERVER_MAX_REQUEST_BODY_SIZE=str(LIMIT),
            SERVER_DRAIN_SECONDS="1",
            **environment,
        )
        self.failures: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.bodies = Budget(1 << 30)
        self.parts = SimpleNamespace(
            settings=settings,
            clock=Clock(),
            spawn=self._spawn,
            bodies=self.bodies,
            metrics=Metrics(),
        )

    def knows_key(self, call: Call) -> bool:
        return True

    async def check_key(self, call: Call) -> None:
        return

    async def serve(self, call: Call, reply: Reply) -> None:
        route = (call.match.wire.value, call.match.operation.value, call.match.tail)
        where = (*route, call.match.version, call.match.model, call.match.action)
        seen = (call.method, where, call.query, call.headers, call.body)
        shown = b64encode(repr(seen).encode())
        reply.start(200, [(b"x-seen", shown), (b"content-length", b"0")])
        await reply.end()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)


@asynccontextmanager
async def lane(directory: Path, *, express: bool) -> AsyncIterator[tuple[int, Echo]]:
    """Run a gateway without anything behind it; give its port."""
    directory.mkdir()
    echo = Echo(directory, SERVER_EXPRESS_LANE=str(express).lower())
    listener = socket.create_server(("127.0.0.1", 0))
    pipeline: Any = echo
    async with serving(pipeline, [listener]):
        port = listener.getsockname()[1]
        # Hypercorn and Quart are imported for the first connection that needs them.
        await _exchange(port, b"GET /health HTTP/1.0\r\n\r\n", _COLD_START)
        yield port, echo


async def outcomes(port: int, cases: Mapping[str, bytes]) -> dict[str, Outcome]:
    """Send every case, several at once; return what became of each."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(raw: bytes) -> Outcome:
        async with turns:
            behind = b"" if _LAST.search(raw) else SENTINEL
            return _understood(*await _exchange(port, raw + behind))

    found = await asyncio.gather(*[one(raw) for raw in cases.values()])
    return dict(zip(cases, found, strict=True))


async def _exchange(port: int, raw: bytes, silence: float = _SILENCE) -> tuple[bytes, bool]:
    """Send bytes; return what comes back, and whether the connection was closed then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = bytearray()
    try:
        writer.write(raw)
        while True:
            async with asyncio.timeout(silence):
                data = await reader.read(65536)
            if not data:
                return bytes(received), True
            received += data
    except ConnectionError:
        return bytes(received), True
    except TimeoutError:
        return bytes(received), False
    finally:
        writer.transport.abort()


def _understood(received: bytes, closed: bool) -> Outcome:
    """Return what the application saw, and how it ended.

    Items: a call as the application saw it, "next" for the sentinel, "refused", "switched",
    "elsewhere" for an answer of another application; "waits" when the connection stays open.
    """
    items: list[Item] = []
    for status, fields in _REPLY.findall(received):
        seen = _SEEN.search(fields)
        if seen is not None:
            call = ast.literal_eval(b64decode(seen[1]).decode())
            items.append("next" if call[1][2] == "usage" else call)
        elif status[:1] in b"45":
            items.append("refused")
        elif status == b"101":
            items.append("switched")
        elif status[:1] != b"1":
            items.append("elsewhere")
    if not closed:
        items.append("waits")
    elif not items:
        items.append("refused")
    return tuple(items)
