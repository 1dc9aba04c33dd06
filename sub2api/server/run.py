"""Run the server: build the parts, listen, drain on a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from sub2api import wiring
from sub2api.clock import Clock
from sub2api.gateway.parts import Parts
from sub2api.gateway.pipeline import Pipeline
from sub2api.server import logs, memory, sockets
from sub2api.server.express import ExpressConnection
from sub2api.server.handover import Hypercorn
from sub2api.server.lane import Lane
from sub2api.settings import Settings
from sub2api.settings.supervision import Supervision, supervision

log = logging.getLogger(__name__)
_BACKLOG = 4096

Companion = Callable[[Parts, Clock], AbstractAsyncContextManager[None]]
"""Something that runs beside the server, from before it listens until after it has stopped."""


def run(settings: Settings, *, companions: Sequence[Companion] = ()) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code. Raises SettingsError."""
    logs.configure(settings.log.level)
    sockets.allow_files(settings.server.max_connections)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_main(settings, companions))
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _main(settings: Settings, companions: Sequence[Companion]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    supervisor = supervision()
    listeners = sockets.listen(settings, supervisor.listen_fds)
    clock = Clock()
    try:
        async with AsyncExitStack() as stack:
            parts = await stack.enter_async_context(wiring.running(settings, clock))
            for companion in companions:
                await stack.enter_async_context(companion(parts, clock))
            async with serving(Pipeline(parts), listeners):
                server = settings.server
                log.info("listening", extra={"host": server.host, "port": server.port})
                sockets.tell(supervisor, "READY=1")
                memory.settle()
                await _until(stop, supervisor)
                log.info("stopping", extra={"drain_seconds": server.drain_seconds})
                sockets.tell(supervisor, "STOPPING=1")
    finally:
        for listener in listeners:
            listener.close()


async def _until(stop: asyncio.Event, supervisor: Supervision) -> None:
    """Wait for the stop, showing the supervisor's watchdog that the loop turns."""
    interval = supervisor.watchdog_seconds / 2 or None
    while True:
        try:
            async with asyncio.timeout(interval):
                await stop.wait()
                return
        except TimeoutError:
            sockets.tell(supervisor, "WATCHDOG=1")


@asynccontextmanager
async def serving(pipeline: Pipeline, listeners: Sequence[socket.socket]) -> AsyncIterator[Lane]:
    """Accept connections on bound sockets; at the end, drain them within `server.drain_seconds`."""
    loop = asyncio.get_running_loop()
    lane = Lane(pipeline)
    hypercorn = Hypercorn(lane, lambda: _app(pipeline))
    lane.hand_over = hypercorn.take
    pipeline.parts.metrics.gauges["connections"] = ("Client connections.", lambda: lane.open)
    servers = [
        await loop.create_server(lambda: ExpressConnection(lane), sock=each, backlog=_BACKLOG)
        for each in listeners
    ]
    try:
        yield lane
    finally:
        for server in servers:
            server.close()
        await lane.drain(pipeline.parts.settings.server.drain_seconds)
        await hypercorn.close()


def _app(pipeline: Pipeline) -> Any:
    from sub2api.web.app import create_app

    return create_app(pipeline)
