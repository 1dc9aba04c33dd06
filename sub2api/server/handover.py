"""Hypercorn as a guest: it serves connections that the express lane has accepted and passed on.

Quart and Hypercorn are imported when the first such connection comes: a gateway that only relays
never pays for them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from sub2api.server import memory
from sub2api.server.lane import NEVER, Lane, Watched
from sub2api.server.turns import BULK_READ

_LAST_WORDS_SECONDS = 0.1
"""Between a reply's end and the connection's, at a stop: HTTP/2 ends a stream a moment later."""


class Guest(asyncio.StreamReaderProtocol):
    """A handed-over connection, as the lane watches it: counted, and with a deadline for heads.

    Hypercorn has a deadline for idle connections only; between its requests a head that has begun
    must arrive in time here as well.
    """

    def __init__(self, lane: Lane, peer: str) -> None:
        self.reader = asyncio.StreamReader()
        super().__init__(self.reader)
        self.peer = peer
        self.deadline = NEVER
        self.multiplexed = False
        """HTTP/2: frames come at any time, and say nothing about a request's beginning."""
        self.terminate: Callable[[], None] = lambda: None
        """Tells Hypercorn that this connection shall end."""
        self._lane = lane
        self._idle = True
        self._leaving = False
        self._link: asyncio.Transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is taken over."""
        self._link = cast(asyncio.Transport, transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes have come; between requests they begin a head."""
        if self._idle and self.deadline == NEVER and not self.multiplexed:
            self.deadline = self._lane.clock.monotonic() + self._lane.server.read_header_timeout
        super().data_received(data)
        if len(data) >= BULK_READ and not self._link.is_closing():
            self._link.pause_reading()
            self._lane.turns.queue(self._next_turn)

    def _next_turn(self) -> None:
        full = getattr(self.reader, "_paused", False)  # it will then resume by itself
        if not full and not self._link.is_closing():
            self._link.resume_reading()

    def idle(self, idle: bool) -> None:
        """Hypercorn says whether it waits for a request."""
        self._idle = idle
        self.deadline = NEVER
        if idle and self._leaving:
            self._leave_soon()

    def has_just_come(self) -> None:
        """The process is stopping, and this one may still ask once."""
        self._leaving = True
        self.deadline = self._lane.first_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._lane.forget(self)
        super().connection_lost(exc)

    def overdue(self, now: float) -> None:
        """A head did not come in time."""
        if self.multiplexed:
            self.deadline = NEVER
        else:
            self._link.abort()

    def drain(self) -> None:
        """Close when idle, else after the reply."""
        self._leaving = True
        if self._idle:
            self._leave_soon()

    def cut(self) -> None:
        """Close now."""
        self._link.abort()

    def _leave_soon(self) -> None:
        asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, self._leave)

    def _leave(self) -> None:
        if self._idle:
            self.terminate()


@dataclass(slots=True)
class _House:
    """What Hypercorn needs to serve a connection."""

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

    def take(self, old: Watched, transport: asyncio.Transport, data: bytes) -> None:
        """Go on with a connection, from the bytes that were read already."""
        guest = Guest(self._lane, old.peer)
        self._lane.replace(old, guest)
        transport.set_protocol(guest)
        guest.connection_made(transport)
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
        context = house.make_context()  # its own: they do not all end at the same moment
        guest.terminate = lambda: self._lane.pipeline.parts.spawn(context.terminated.set())
        loop = asyncio.get_running_loop()
        writer = asyncio.StreamWriter(transport, guest, guest.reader, loop)
        await _server_class()(
            house.app,
            loop,
            house.config,
            context,
            house.state,
            guest.reader,
            writer,
            guest=guest,
        )

    async def _open_house(self) -> _House:
        await asyncio.to_thread(_import_all)  # a third of a second: not on the loop
        from hypercorn.asyncio.lifespan import Lifespan
        from hypercorn.asyncio.worker_context import WorkerContext
        from hypercorn.utils import wrap_app

        config = _config(self._lane)
        app = wrap_app(self._make_app(), config.wsgi_max_body_size, None)
        state: dict[str, Any] = {}
        loop = asyncio.get_running_loop()
        lifespan = Lifespan(app, config, loop, state)
        task = loop.create_task(lifespan.handle_lifespan())
        await lifespan.wait_for_startup()
        memory.settle()
        return _House(app, config, lambda: WorkerContext(None), lifespan, task, state)


def _import_all() -> None:

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


def bounded(buffer_class: Any) -> Any:
    """Return Hypercorn's buffer of a stream whose writer waits until it is almost empty."""
    from hypercorn.protocol.h2 import BUFFER_LOW_WATER

    class BoundedBuffer(buffer_class):  # type: ignore[misc]
        async def pop(self, max_length: int) -> bytes:
            data = bytes(self.buffer[:max_length])
            del self.buffer[: len(data)]
            if len(self.buffer) < BUFFER_LOW_WATER:
                await self._paused.set()
            if not self.buffer:
                await self._is_empty.set()
            return data

    return BoundedBuffer


_class: Any = None


def _server_class() -> Any:
    """Return Hypercorn's server of one connection, which tells its guest when it is idle."""
    global _class
    if _class is not None:
        return _class
    from hypercorn.asyncio.tcp_server import TCPServer
    from hypercorn.events import Event, Updated
    from hypercorn.protocol import h2

    # Hypercorn's own lets its writer go on whenever the client's window is shut, and so holds
    # whole replies for clients that do not read.
    h2.StreamBuffer = bounded(h2.StreamBuffer)  # type: ignore[misc]

    class GuestServer(TCPServer):
        def __init__(self, *arguments: Any, guest: Guest) -> None:
            super().__init__(*arguments)
            self._guest = guest
            self._all_read = False

        async def protocol_send(self, event: Event) -> None:
            if isinstance(event, Updated):
                self._guest.multiplexed = isinstance(self.protocol.protocol, h2.H2Protocol)
                self._guest.idle(event.idle)
                if self._all_read:
                    return
            await super().protocol_send(event)

        async def _read_data(self) -> None:
            await super()._read_data()
            # The client is gone. Its idle timer would hold the connection open till it ends.
            self._all_read = True
            await self.idle_task.stop()

    _class = GuestServer
    return _class
