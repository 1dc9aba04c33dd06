"""In the running gateway: prove that this release is healthy, notice that it was replaced."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sub2api.clock import Clock
from sub2api.settings import Settings
from sub2api.updates.installation import Installation

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound


def stop_gracefully() -> None:
    """Stop this process as a service manager would."""
    os.kill(os.getpid(), signal.SIGTERM)


@asynccontextmanager
async def proving(
    settings: Settings,
    clock: Clock,
    started: Path | None = None,
    stop: Callable[[], None] = stop_gracefully,
) -> AsyncIterator[None]:
    """While inside: confirm our release once it has been healthy for a while; stop when replaced.

    `started` is the file this process runs, `sys.argv[0]` if None. Where that is no release of an
    installation (a source tree, a container), nothing happens.
    """
    file = Path(sys.argv[0]) if started is None else started
    installation = Installation(settings.update.directory)
    if not settings.update.directory.name or file.parent != installation.releases:
        yield
        return
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(_watch(installation, file.name, (settings, clock), stop))
        try:
            yield
        finally:
            work.cancel()


async def _watch(
    installation: Installation,
    ours: str,
    context: tuple[Settings, Clock],
    stop: Callable[[], None],
) -> None:
    settings, clock = context
    healthy_since: float | None = None
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            if installation.current() != ours:
                log.info("another release takes over", extra={"release": installation.current()})
                stop()
                return
            if installation.pending() is None:
                continue
            if not await _is_healthy(settings):
                healthy_since = None
                continue
            now = clock.monotonic()
            healthy_since = now if healthy_since is None else healthy_since
            if now - healthy_since >= settings.update.confirm_seconds:
                await asyncio.to_thread(installation.confirm)
                log.info("this release has proved itself", extra={"release": ours})
        except Exception as error:  # noqa: BLE001  looking must never end the gateway
            log.warning("the installation cannot be looked at", extra={"detail": str(error)})


async def _is_healthy(settings: Settings) -> bool:
    """Ask our own front door, as anybody would."""
    host = _ANYWHERE.get(settings.server.host, settings.server.host)
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, settings.server.port)
            try:
                writer.write(b"GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]
