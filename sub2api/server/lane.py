"""What all connections of a listening process share: limits, deadlines, the drain."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from typing import Protocol

import msgspec

from sub2api.clock import Clock
from sub2api.gateway.call import Call
from sub2api.gateway.client_address import client_address, is_trusted, networks_of
from sub2api.gateway.pipeline import Pipeline
from sub2api.server.intake import Request
from sub2api.server.replies import Dates
from sub2api.server.turns import Turns

log = logging.getLogger(__name__)

NEVER = float("inf")
STALL_SECONDS = 120.0
"""How long a client may take nothing of a reply that waits for it."""
_SWEEP_SECONDS = 1.0
_FIRST_SECONDS = 2.0
"""How long a connection may take that was accepted while the process is stopping."""


class Watched(Protocol):
    """A connection, whichever lane it is in. `deadline` is when `overdue` is called."""

    peer: str
    deadline: float

    def overdue(self, now: float) -> None:
        """The deadline has passed."""
        ...

    def drain(self) -> None:
        """End as soon as nothing is under way."""
        ...

    def cut(self) -> None:
        """End now."""
        ...


class Lane:
    """Counts connections, looks at their deadlines once a second, winds them down at the end."""

    def __init__(self, pipeline: Pipeline) -> None:
        parts = pipeline.parts
        server = parts.settings.server
        self.pipeline = pipeline
        self.clock: Clock = parts.clock
        self.server = server
        self.trusted = networks_of(server.trusted_proxies)
        self.draining = False
        self.express = server.express_lane
        self._connections: set[Watched] = set()
        self._by_address: Counter[str] = Counter()
        self.dates = Dates()
        self._timer: asyncio.TimerHandle | None = None
        self._full_said = NEVER
        self._emptied: asyncio.Event = asyncio.Event()
        self.turns = Turns()
        self.hand_over: Callable[..., None] = _nobody

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def admit(self, connection: Watched) -> bool:
        """Count a new connection; False when there are too many, of all or of its address."""
        server, peer = self.server, connection.peer
        if len(self._connections) >= server.max_connections:
            return self._full("server.max_connections")
        most = server.max_connections_per_address
        if most and self._by_address[peer] >= most and not is_trusted(peer, self.trusted):
            return self._full("server.max_connections_per_address")
        self._connections.add(connection)
        self._by_address[peer] += 1
        if self._timer is None:
            self._sweep_later()
        return True

    def replace(self, old: Watched, new: Watched) -> None:
        """A connection goes on under another protocol."""
        self._connections.discard(old)
        self._connections.add(new)

    def forget(self, connection: Watched) -> None:
        """A connection is over."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._by_address[connection.peer] -= 1
        if not self._by_address[connection.peer]:
            del self._by_address[connection.peer]
        if not self._connections:
            self._emptied.set()

    def first_deadline(self) -> float:
        """Return until when a new connection must have said what it wants."""
        patience = _FIRST_SECONDS if self.draining else self.server.read_header_timeout
        return self.clock.monotonic() + patience

    def call(self, request: Request, peer: str, arrived: float) -> Call:
        """Return what a request asks of the pipeline."""
        head = request.head
        call = Call(
            id=self.clock.new_id("req_"),
            match=request.match,
            method=head.method,
            query=head.query,
            headers=head.headers,
            body=request.body,
            client_ip=peer,
            arrived=arrived,
            fields=head.fields,
            memo=head.memo,
        )
        if not self.trusted:
            return call
        address = client_address(peer, call.header(b"x-forwarded-for"), self.trusted)
        return msgspec.structs.replace(call, client_ip=address)

    async def drain(self, seconds: float) -> None:
        """Let calls that run end, at most `seconds`; then cut what is left."""
        self.draining = True
        for connection in list(self._connections):
            connection.drain()
        if self._connections:
            self._emptied.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._emptied.wait()
            except TimeoutError:
                log.warning("connections are cut", extra={"connections": self.open})
        for connection in list(self._connections):
            connection.cut()
        if self._timer is not None:
            self._timer.cancel()

    def _full(self, key: str) -> bool:
        now = self.clock.monotonic()
        if self._full_said == NEVER or now - self._full_said > 10:
            self._full_said = now
            log.warning("connections are refused", extra={"limit": key, "open": self.open})
        return False

    def _sweep_later(self) -> None:
        self.dates.line = b"date: %b\r\n" % formatdate(self.clock.now(), usegmt=True).encode()
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        now = self.clock.monotonic()
        for connection in [each for each in self._connections if each.deadline <= now]:
            connection.overdue(now)
        if self._connections:
            self._sweep_later()
        else:
            self._timer = None


def _nobody(*_: object) -> None:
    raise RuntimeError("nobody takes connections over")
