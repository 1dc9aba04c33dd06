"""Run the server: build the parts, listen with Hypercorn, drain on a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from sub2api import wiring
from sub2api.clock import Clock
from sub2api.errors import SettingsError
from sub2api.gateway.parts import Parts
from sub2api.gateway.pipeline import Pipeline
from sub2api.server import logs
from sub2api.settings import Settings

log = logging.getLogger(__name__)

Companion = Callable[[Parts, Clock], AbstractAsyncContextManager[None]]
"""Something that runs beside the server, from before it listens until after it has stopped."""


def run(settings: Settings, *, companions: Sequence[Companion] = ()) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code. Raises SettingsError."""
    logs.configure(settings.log.level)
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
    listener = _listen(settings)
    clock = Clock()
    try:
        async with AsyncExitStack() as stack:
            parts = await stack.enter_async_context(wiring.running(settings, clock))
            for companion in companions:
                await stack.enter_async_context(companion(parts, clock))
            await _serve(settings, parts, listener, stop.wait)
    finally:
        listener.close()


def _listen(settings: Settings) -> socket.socket:
    """Bind the port before anything else, so that a taken one is said at once."""
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"server.port {port} on {host} cannot be listened on: {error.strerror}. Choose "
            "another: SERVER_PORT or `sub2api serve --port`"
        ) from error
    return listener


async def _serve(
    settings: Settings,
    parts: Parts,
    listener: socket.socket,
    stopped: Callable[[], Awaitable[Any]],
) -> None:
    # Imported here: Quart and Hypercorn take a third of a second that other commands need not pay.
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    from sub2api.web.app import create_app

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.include_server_header = False
    config.accesslog = config.errorlog = None
    config.keep_alive_timeout = settings.server.idle_timeout
    config.keep_alive_max_requests = sys.maxsize
    config.h11_max_incomplete_size = 65536
    config.graceful_timeout = settings.server.drain_seconds
    config.shutdown_timeout = settings.server.drain_seconds
    log.info("listening", extra={"host": settings.server.host, "port": settings.server.port})

    async def shutdown_trigger() -> None:
        await stopped()

    app: Any = create_app(Pipeline(parts))
    await serve(app, config, shutdown_trigger=shutdown_trigger)
    log.info("stopping", extra={"drain_seconds": settings.server.drain_seconds})
