"""The relay's connection pool: sends requests over kept connections, counted per lane.

A reused connection that turns out to be dead is never tried again behind the caller's back: once
bytes were written, the upstream may have begun to work (and to bill). Connections that are known
to be dead are not reused; what remains is TransportError(`reset`, sent=True), and the caller
decides, knowing it, whether to fail over. Redirects are never followed.
"""

from __future__ import annotations

import asyncio
import ssl

from sub2api.clock import Clock
from sub2api.errors import MistakeError, TransportError
from sub2api.model.accounts import Proxy
from sub2api.transport.connection import READ_BUFFER, Connection
from sub2api.transport.dialing import Dialer, Resolver, system_resolver
from sub2api.transport.encoding import prepare
from sub2api.transport.lanes import Lane, closing
from sub2api.transport.messages import Deadlines, LaneName, Origin, Request, Response, Target
from sub2api.transport.url_guard import Guard, ParsedUrl, parse

_PARSED = 1024
_LONGEST_PARSED = 512


class Pool:
    """Sends requests over kept connections. `close()` it in the end.

    `tls` replaces the machine's certificate authorities, `resolve` its name service. A pool
    belongs to the loop that first sends through it.
    """

    def __init__(
        self,
        clock: Clock,
        guard: Guard,
        *,
        max_connections_per_lane: int = 240,
        idle_seconds: float = 90.0,
        tls: ssl.SSLContext | None = None,
        resolve: Resolver = system_resolver,
    ) -> None:
        self._clock = clock
        self._most = max_connections_per_lane
        self._idle_seconds = idle_seconds
        self._dialer = Dialer(guard, tls, resolve)
        self._lanes: dict[LaneName, Lane] = {}
        self._parsed: dict[str, ParsedUrl] = {}
        self._buffer = memoryview(bytearray(READ_BUFFER))
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(
        self,
        request: Request,
        *,
        lane: LaneName,
        limit: int,
        proxy: Proxy | None,
        deadlines: Deadlines,
    ) -> Response:
        """Send a request; return the response when its head is there.

        `lane` tells whose connections are used, at most `limit` at once (0 = the pool's own
        limit). Raises TransportError. Cancelling closes the connection.
        """
        target = self.target(request, proxy)
        return await self.exchange(
            target, request.body, lane=lane, limit=limit, deadlines=deadlines
        )

    def target(self, request: Request, proxy: Proxy | None) -> Target:
        """Prepare requests like this one, whatever their bodies. Raises TransportError."""
        return prepare(request, self._url(request.url), proxy)

    async def exchange(
        self, target: Target, body: bytes, *, lane: LaneName, limit: int, deadlines: Deadlines
    ) -> Response:
        """Do what `send` does, with a head that was prepared."""
        most = limit or self._most
        found = self._lanes.get(lane)
        connection = found.reuse(target.origin, most) if found is not None else None
        if connection is None:
            connection = await self._connection(lane, target, (most, deadlines.connect))
        return await connection.exchange(target, body, deadlines)

    def connections(self, lane: LaneName) -> tuple[int, int]:
        """Return how many connections a lane has: all of them, and those that are idle."""
        found = self._lanes.get(lane)
        return (found.open, found.idle) if found is not None else (0, 0)

    def sweep(self) -> None:
        """Close connections that have been idle for too long, forget lanes without any."""
        for name, lane in list(self._lanes.items()):
            lane.sweep()
            if lane.is_empty:
                del self._lanes[name]

    async def close(self) -> None:
        """Close every connection; what is under way fails with TransportError."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for lane in self._lanes.values():
            lane.close()
        await asyncio.sleep(0)  # transports close their sockets a turn of the loop later

    def _url(self, text: str) -> ParsedUrl:
        parsed = self._parsed.get(text)
        if parsed is None:
            try:
                parsed = parse(text)
            except MistakeError as error:
                raise TransportError(str(error), cause="blocked", sent=False) from None
            if len(self._parsed) >= _PARSED:
                self._parsed.clear()
            if len(text) <= _LONGEST_PARSED:
                self._parsed[text] = parsed
        return parsed

    async def _connection(
        self, name: LaneName, target: Target, bounds: tuple[int, float]
    ) -> Connection:
        """Return a connection, waiting for one or opening one within the connect deadline."""
        if self._closed:
            raise closing()
        limit, patience = bounds
        url, origin = target.url, target.origin
        lane = self._lane(name)
        cause = "busy"
        try:
            async with asyncio.timeout(patience or None):
                connection = await lane.admit(origin, limit)
                while connection is not None and connection.closed:
                    # It went down in the moment it was granted.
                    lane.release(connection, reusable=False)
                    connection = await lane.admit(origin, limit)
                if connection is not None:
                    return connection
                cause = "proxy" if origin[3] is not None else "connect_timeout"
                return await self._opened(lane, url, origin, patience)
        except TimeoutError:
            raise _late(cause) from None

    async def _opened(
        self, lane: Lane, url: ParsedUrl, origin: Origin, patience: float
    ) -> Connection:
        """Open a connection in the room that the lane has given."""
        connection = Connection(lane, origin, self._buffer)
        try:
            await self._dialer.dial(url, origin[3], connection, patience)
        except BaseException:
            connection.close()
            lane.not_opened()
            raise
        lane.opened(connection)
        if self._closed:
            lane.release(connection, reusable=False)
            raise closing()
        return connection

    def _lane(self, name: LaneName) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(self._clock, self._idle_seconds)
        if self._sweeper is None:
            self._sweep_later()
        return lane

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(max(self._idle_seconds / 2, 0.05), self._sweep_again)

    def _sweep_again(self) -> None:
        self._sweeper = None
        self.sweep()
        if self._lanes:
            self._sweep_later()


def _late(cause: str) -> TransportError:
    message = {
        "busy": "no connection to the upstream became free in time",
        "proxy": "the proxy cannot be used: no connection through it in time",
    }.get(cause, "no connection to the upstream could be made in time")
    return TransportError(message, cause=cause, sent=False)
