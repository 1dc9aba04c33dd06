"""Hypercorn as a guest: it serves connections that the express lane has accepted and passed on.

Quart and Hypercorn are imported when the first such connection comes: a gateway that only relays
never pays for them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sub2api.server import memory
from sub2api.server.guest import Guest, Host, Outlet
from sub2api.server.lane import Lane
from sub2api.server.turns import REST


@dataclass(slots=True)
class _House:
    """What Hypercorn needs to serve a connection."""

    server: Any
    app: Any
    config: Any
    make_context: Callable[[], Any]
    lifespan: Any
    lifespan_task: asyncio.Task[None]
    state: dict[str, Any]


class Hypercorn:
    """Serves handed-over connections. `make_app` is called once, when the first one comes."""

    def __init__(self, lane: Lane, make_app: Callable[[], Any]) -> None:
        self._lane = lane
        self._make_app = make_app
        self._house: asyncio.Future[_House] | None = None

    def take(self, host: Host, transport: asyncio.Transport, data: bytes) -> None:
        """Go on with a connection, from the bytes that were read already."""
        guest = Guest(self._lane, host, transport)
        self._lane.replace(host, guest)
        transport.set_protocol(guest)
        if data:
            guest.data_received(data)
        if self._lane.draining:
            guest.has_just_come()
        self._lane.pipeline.parts.spawn(self._serve(guest, transport))

    async def close(self) -> None:
        """Tell the app that it is over."""
        if self._house is None:
            return
        house = await self._house
        await house.lifespan.wait_for_shutdown()
        house.lifespan_task.cancel()
        await asyncio.wait([house.lifespan_task])

    async def _serve(self, guest: Guest, transport: asyncio.Transport) -> None:
        if self._house is None:
            self._house = asyncio.get_running_loop().create_future()
            try:
                self._house.set_result(await self._open_house())
            except BaseException as error:
                failed, self._house = self._house, None  # the next connection tries again
                failed.set_exception(error)
                failed.exception()
                raise
        house = await asyncio.shield(self._house)
        # The web app takes much longer than the express lane: however many want something of it
        # at once, others wait for one request of theirs.
        await self._lane.turns.come(REST)
        if guest.lost.is_set():
            return
        context = house.make_context()  # its own: they do not all end at the same moment
        guest.terminate = lambda: self._lane.pipeline.parts.spawn(context.terminated.set())
        loop = asyncio.get_running_loop()
        streams = (guest, Outlet(guest, transport))
        await house.server(
            house.app, loop, house.config, context, house.state, *streams, guest=guest
        )

    async def _open_house(self) -> _House:
        await asyncio.to_thread(_import_all)  # a third of a second: not on the loop
        from hypercorn.asyncio.lifespan import Lifespan
        from hypercorn.asyncio.worker_context import WorkerContext
        from hypercorn.utils import wrap_app

        from sub2api.server.guest_server import GuestServer

        config = _config(self._lane)
        app = wrap_app(self._make_app(), config.wsgi_max_body_size, None)
        state: dict[str, Any] = {}
        loop = asyncio.get_running_loop()
        lifespan = Lifespan(app, config, loop, state)
        task = loop.create_task(lifespan.handle_lifespan())
        await lifespan.wait_for_startup()
        memory.settle()
        return _House(GuestServer, app, config, lambda: WorkerContext(None), lifespan, task, state)


def _import_all() -> None:
    import sub2api.server.guest_server
    import sub2api.web.app  # noqa: F401


def _config(lane: Lane) -> Any:
    from hypercorn.config import Config

    config = Config()
    config.include_server_header = False
    config.accesslog = config.errorlog = None
    config.keep_alive_timeout = lane.server.idle_timeout
    config.keep_alive_max_requests = sys.maxsize
    config.h11_max_incomplete_size = 65536
    return config
