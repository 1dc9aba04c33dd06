"""Hypercorn's server of one connection, as a guest in this house.

Imports Hypercorn: itself to be imported at first use only.
"""

from __future__ import annotations

from typing import Any

import h11
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import h2
from hypercorn.protocol.h11 import H11Protocol

from sub2api.server.frames import Flood
from sub2api.server.guest import Guest


class BoundedBuffer(h2.StreamBuffer):
    """Hypercorn's buffer of a stream, whose writer waits until it is almost empty.

    Hypercorn's own lets its writer go on whenever the client's window is shut, and so holds whole
    replies for clients that do not read.
    """

    async def pop(self, max_length: int) -> bytes:
        """Take at most `max_length` bytes."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[: len(data)]
        if len(self.buffer) < h2.BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


h2.StreamBuffer = BoundedBuffer  # type: ignore[misc]


class GuestServer(TCPServer):
    """Reads a piece at a time, tells its guest when it is idle, and lets it go between requests."""

    def __init__(self, *arguments: Any, guest: Guest) -> None:
        super().__init__(*arguments)
        self._guest = guest
        self._all_read = False

    async def protocol_send(self, event: Event) -> None:
        """Do what the protocol asks for."""
        if isinstance(event, Updated):
            self._note_protocol()
            self._guest.idle(event.idle)
            if self._all_read or (event.idle and self._goes_back()):
                return
        await super().protocol_send(event)

    async def _read_data(self) -> None:
        try:
            while not self._guest.at_eof():
                await self.protocol.handle(RawData(await self._guest.read()))
                self._note_protocol()
        except Flood:
            self._say_enough()
        await self.protocol.handle(Closed())
        # The client is gone. Its idle timer would hold the connection open till it ends.
        self._all_read = True
        await self.idle_task.stop()

    async def _close(self) -> None:
        if not self._guest.returned:
            await super()._close()

    def _note_protocol(self) -> None:
        self._guest.multiplexed = isinstance(self.protocol.protocol, h2.H2Protocol)

    def _goes_back(self) -> bool:
        """Return the connection to the express lane, if it is between two requests of HTTP/1.1."""
        protocol = self.protocol.protocol
        if not isinstance(protocol, H11Protocol):
            return False
        ahead, _ = protocol.connection.trailing_data
        if not self._guest.go_back(ahead):
            return False
        protocol.connection = h11.Connection(h11.SERVER)  # nothing is left for it to read
        return True

    def _say_enough(self) -> None:
        """Send what HTTP/2 has for such clients (CVE-2023-44487 and its like), and close."""
        connection = self.protocol.protocol.connection
        if isinstance(connection, H2Connection):
            connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._guest.end(connection.data_to_send())
