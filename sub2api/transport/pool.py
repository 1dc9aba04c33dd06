"""The relay's connection pool: keep-alive connections to upstreams, counted per lane.

A lane is an account: its connections are its own, so that one account's trouble is nobody else's.
A reused connection that turns out to be dead is not tried again behind the caller's back: once
bytes were written, the upstream may have begun to work (and to bill); the caller
fails over knowingly.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass, field

from sub2api.clock import Clock
from sub2api.errors import MistakeError, TransportError
from sub2api.model.accounts import Proxy
from sub2api.transport.connection import Connection
from sub2api.transport.dialing import Dialer, Resolver, system_resolver
from sub2api.transport.messages import Deadlines, Request, Response
from sub2api.transport.url_guard import Guard, ParsedUrl, parse

_SMALL_BODY = 65536
_PARSED = 4096
_FORBIDDEN = (b"\r", b"\n", b"\x00")
_OURS = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})

Origin = tuple[str, str, int, Proxy | None]


@dataclass(slots=True)
class _Lane:
    """One account's connections: `open` counts them all, `idle` holds the free ones by origin."""

    open: int = 0
    idle: dict[Origin, deque[Connection]] = field(default_factory=dict)
    waiters: deque[asyncio.Future[None]] = field(default_factory=deque)


class Pool:
    """Sends requests over kept connections. `close()` it in the end."""

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
        self._guard = guard
        self._most = max_connections_per_lane
        self._idle_seconds = idle_seconds
        self._tls = tls
        self._resolve = resolve
        self._dialer: Dialer | None = None
        self._lanes: dict[str, _Lane] = {}
        self._parsed: dict[str, ParsedUrl] = {}
        self._closed = False

    async def send(
        self,
        request: Request,
        *,
        lane: str,
        limit: int,
        proxy: Proxy | None,
        deadlines: Deadlines,
    ) -> Response:
        """Send a request; return the response when its head is there. Raises TransportError."""
        url = self._url(request.url)
        data = _encoded(request, url)
        connection = await self._connection(lane, url, proxy, (limit or self._most, deadlines))
        return await connection.exchange(data, first_byte=deadlines.first_byte, idle=deadlines.idle)

    def open_connections(self, lane: str) -> int:
        """Return how many connections a lane has, busy and idle."""
        found = self._lanes.get(lane)
        return found.open if found is not None else 0

    def sweep(self) -> None:
        """Close connections that have been idle for too long."""
        expiry = self._clock.monotonic() - self._idle_seconds
        for lane in self._lanes.values():
            for connections in lane.idle.values():
                while connections and (connections[0].closed or connections[0].idle_since < expiry):
                    self._drop(lane, connections.popleft())
            lane.idle = {origin: each for origin, each in lane.idle.items() if each}

    async def close(self) -> None:
        """Close every idle connection, and busy ones as they end."""
        self._closed = True
        for lane in self._lanes.values():
            for connections in lane.idle.values():
                while connections:
                    self._drop(lane, connections.popleft())

    def _url(self, text: str) -> ParsedUrl:
        parsed = self._parsed.get(text)
        if parsed is None:
            try:
                parsed = parse(text)
            except MistakeError as error:
                raise TransportError(str(error), cause="blocked", sent=False) from None
            if len(self._parsed) >= _PARSED:
                self._parsed.clear()
            self._parsed[text] = parsed
        return parsed

    async def _connection(
        self, name: str, url: ParsedUrl, proxy: Proxy | None, bounds: tuple[int, Deadlines]
    ) -> Connection:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane()
        origin = (url.scheme, url.host, url.port, proxy)
        if (connection := self._reuse(lane, origin)) is not None:
            return connection
        limit, deadlines = bounds
        try:
            async with asyncio.timeout(deadlines.connect or None):
                while True:
                    if (connection := self._reuse(lane, origin)) is not None:
                        return connection
                    if lane.open < limit or self._evict(lane):
                        break
                    await self._turn(lane)
        except TimeoutError:
            raise TransportError(
                "no connection to the upstream became free", cause="busy", sent=False
            ) from None
        return await self._dial(lane, origin, url, deadlines)

    def _reuse(self, lane: _Lane, origin: Origin) -> Connection | None:
        """Return the most recently used idle connection that is still alive and fresh."""
        connections = lane.idle.get(origin)
        expiry = self._clock.monotonic() - self._idle_seconds
        while connections:
            connection = connections.pop()
            if not connection.closed and connection.idle_since >= expiry:
                return connection
            self._drop(lane, connection)
        return None

    def _evict(self, lane: _Lane) -> bool:
        """Make room by closing an idle connection to another origin."""
        for connections in lane.idle.values():
            if connections:
                self._drop(lane, connections.popleft())
                return True
        return False

    async def _turn(self, lane: _Lane) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._next(lane)  # the turn was ours, and we leave: it is somebody else's
            raise
        finally:
            if waiter in lane.waiters:
                lane.waiters.remove(waiter)

    async def _dial(
        self, lane: _Lane, origin: Origin, url: ParsedUrl, deadlines: Deadlines
    ) -> Connection:
        if self._dialer is None:
            self._dialer = Dialer(self._guard, self._tls, self._resolve)

        def released(connection: Connection, reusable: bool) -> None:
            self._release(lane, origin, connection, reusable=reusable)

        lane.open += 1
        connection = Connection(released)
        try:
            async with asyncio.timeout(deadlines.connect or None):
                await self._dialer.dial(url, origin[3], connection)
        except BaseException as error:
            self._drop(lane, connection)
            if isinstance(error, TimeoutError):
                cause = "proxy" if origin[3] is not None else "connect_timeout"
                message = "the upstream could not be connected to in time"
                raise TransportError(message, cause=cause, sent=False) from None
            raise
        return connection

    def _release(
        self, lane: _Lane, origin: Origin, connection: Connection, *, reusable: bool
    ) -> None:
        if not reusable or self._closed or connection.closed:
            self._drop(lane, connection)
            return
        connection.idle_since = self._clock.monotonic()
        lane.idle.setdefault(origin, deque()).append(connection)
        self._next(lane)

    def _drop(self, lane: _Lane, connection: Connection) -> None:
        lane.open -= 1
        connection.close()
        self._next(lane)

    def _next(self, lane: _Lane) -> None:
        while lane.waiters:
            waiter = lane.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _encoded(request: Request, url: ParsedUrl) -> list[bytes]:
    """Write a request. Raises TransportError for a head that would not be one request."""
    lines = [
        f"{request.method} {url.target} HTTP/1.1\r\nhost: {url.authority}\r\n".encode("latin-1")
    ]
    asked = False
    for name, value in request.headers:
        if any(mark in name or mark in value for mark in _FORBIDDEN) or b":" in name or not name:
            raise TransportError("a header is not valid", cause="protocol", sent=False)
        if name in _OURS:
            continue
        asked = asked or name == b"accept-encoding"
        lines.append(name + b": " + value + b"\r\n")
    if not asked:
        lines.append(b"accept-encoding: identity\r\n")
    body = request.body
    if body or request.method not in {"GET", "HEAD"}:
        lines.append(b"content-length: %d\r\n" % len(body))
    lines.append(b"\r\n")
    if body and len(body) <= _SMALL_BODY:
        lines.append(body)
        return [b"".join(lines)]
    head = b"".join(lines)
    return [head, body] if body else [head]
