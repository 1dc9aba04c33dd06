"""How a client that reads slowly holds its connection's writer back, in either lane."""

from __future__ import annotations

import asyncio
from typing import cast

from sub2api.server.lane import NEVER, STALL_SECONDS, Lane


class Outgoing(asyncio.Protocol):
    """A connection's way out. Whoever waits for a reply must take some of it within two minutes."""

    def __init__(self, lane: Lane) -> None:
        self.writable = True
        self.deadline = NEVER
        self._lane = lane
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._drained: asyncio.Future[None] | None = None
        self._unread = 0

    def pause_writing(self) -> None:
        """The client reads more slowly than the reply comes."""
        self.writable = False
        self._unread = self._transport.get_write_buffer_size()
        self.deadline = self._lane.clock.monotonic() + STALL_SECONDS

    def resume_writing(self) -> None:
        """The client has caught up, or is gone. Which deadline holds now is not known here."""
        self.writable = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    async def until_writable(self) -> None:
        """Wait until the client has caught up, or is gone."""
        while not self.writable:
            if self._drained is None or self._drained.done():
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    def write_several(self, parts: list[bytes]) -> None:
        """Hand bytes to the transport, one after the other."""
        self._transport.writelines(parts)

    def reads_on(self, now: float) -> bool:
        """Whether a slow reader has taken something; its deadline is a later one then."""
        unread = self._transport.get_write_buffer_size()
        if self.writable or unread >= self._unread:
            return False
        self._unread = unread
        self.deadline = now + STALL_SECONDS
        return True
