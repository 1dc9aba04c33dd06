"""A lane: the connections of one account, how many there may be, and who waits for one.

Its connections are its own, so that one account's trouble is nobody else's. Whoever came first is
served first: a free connection, or room for a new one, is handed to the first in the queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from sub2api.clock import Clock
from sub2api.errors import TransportError
from sub2api.transport.connection import Connection
from sub2api.transport.messages import Origin

_SUSPECT_AFTER = 1.0
"""Seconds of idleness after which a connection is asked whether it is still alive before use."""


@dataclass(slots=True)
class _Waiter:
    """A call in the queue. It is granted an idle connection, or None: room for a new one."""

    origin: Origin
    limit: int
    granted: asyncio.Future[Connection | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Lane:
    """See the module. `open` counts connections busy, idle and being opened."""

    def __init__(self, clock: Clock, idle_seconds: float) -> None:
        self.open = 0
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._idle: dict[Origin, list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._waiters: deque[_Waiter] = deque()
        self._closed = False

    @property
    def idle(self) -> int:
        """How many connections are idle."""
        return sum(map(len, self._idle.values()))

    @property
    def is_empty(self) -> bool:
        """Whether nobody has or wants a connection."""
        return self.open == 0 and not self._waiters

    def reuse(self, origin: Origin, limit: int) -> Connection | None:
        """Return the connection that was used last, if one is idle and nobody waits for it."""
        idle = self._idle.get(origin)
        if not idle or self._waiters or (self.open > limit and not self._may_reuse(limit)):
            return None
        now = self._clock.monotonic()
        while idle:
            connection = idle.pop()
            age = now - connection.idle_since
            fresh = age < self._idle_seconds
            if fresh and not connection.closed and (age < _SUSPECT_AFTER or connection.is_silent()):
                self._busy.add(connection)
                return connection
            connection.close()
            self._give_back()
        return None

    async def admit(self, origin: Origin, limit: int) -> Connection | None:
        """Return an idle connection, or None once there is room to open one (`open` counts it).

        Waits its turn. Cancelling the wait gives back what was granted meanwhile. Raises
        TransportError (`busy`) when the lane is closed.
        """
        if self._closed:
            raise closing()
        if not self._waiters:
            if (connection := self.reuse(origin, limit)) is not None:
                return connection
            if self._has_room(limit):
                self.open += 1
                return None
        waiter = _Waiter(origin, limit)
        self._waiters.append(waiter)
        self._serve()
        try:
            connection = await waiter.granted
        except BaseException:
            self._withdraw(waiter)
            raise
        return connection

    def opened(self, connection: Connection) -> None:
        """A connection was opened in the room that `admit` gave, and is in use."""
        self._busy.add(connection)

    def not_opened(self) -> None:
        """The room that `admit` gave was not used."""
        self._give_back()

    def release(self, connection: Connection, *, reusable: bool) -> None:
        """An exchange is over."""
        self._busy.discard(connection)
        if not reusable or self._closed or connection.closed:
            connection.close()
            self._give_back()
            return
        connection.idle_since = self._clock.monotonic()
        self._idle.setdefault(connection.origin, []).append(connection)
        self._serve()

    def lost(self, connection: Connection) -> None:
        """A connection has gone down; if it was idle, forget it."""
        idle = self._idle.get(connection.origin, [])
        if connection in idle:
            idle.remove(connection)
            self._give_back()

    def sweep(self) -> None:
        """Close connections that have been idle for too long."""
        expiry = self._clock.monotonic() - self._idle_seconds
        for idle in list(self._idle.values()):
            while idle and (idle[0].closed or idle[0].idle_since <= expiry):
                idle.pop(0).close()
                self._give_back()

    def close(self) -> None:
        """Close every connection; whoever waits is sent away."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.granted.done():
                waiter.granted.set_exception(closing())
        self._waiters.clear()
        for idle in list(self._idle.values()):
            while idle:
                idle.pop().close()
                self._give_back()
        for connection in list(self._busy):
            connection.close()

    def _serve(self) -> None:
        """Hand what is free to the first in the queue, as long as there is any."""
        while self._waiters:
            waiter = self._waiters[0]
            if not waiter.granted.done():  # else it was cancelled this very moment
                idle = self._idle.get(waiter.origin)
                if idle and self._may_reuse(waiter.limit):
                    connection = idle.pop()
                    self._busy.add(connection)
                    waiter.granted.set_result(connection)
                elif self._has_room(waiter.limit):
                    self.open += 1
                    waiter.granted.set_result(None)
                else:
                    return
            self._waiters.popleft()

    def _withdraw(self, waiter: _Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
            self._serve()
        elif not waiter.granted.cancelled() and waiter.granted.exception() is None:
            connection = waiter.granted.result()
            if connection is None:
                self._give_back()
            else:
                self.release(connection, reusable=True)

    def _may_reuse(self, limit: int) -> bool:
        return self.open - self.idle < limit

    def _has_room(self, limit: int) -> bool:
        """Whether one more may be opened; closes idle connections to other origins for it."""
        while self.open >= limit and self._evict():
            pass
        return self.open < limit

    def _evict(self) -> bool:
        for idle in self._idle.values():
            if idle:
                idle.pop(0).close()
                self.open -= 1
                return True
        return False

    def _give_back(self) -> None:
        self.open -= 1
        self._serve()


def closing() -> TransportError:
    """Return the error of whoever asks a closed pool."""
    return TransportError("the pool is closed", cause="busy", sent=False)
