"""A TCP proxy that counts what passes: bytes, commands, and changes of direction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CountingProxy:
    """Counts since it was last `cleared`. A round trip is a request that follows a reply."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self.port = 0
        self.clear()

    def clear(self) -> None:
        self.bytes = 0
        self.round_trips = 0
        self.commands: list[bytes] = []
        self._asking: set[int] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer, id(writer), asks=True))
                group.create_task(self._pump(up_reader, writer, id(writer), asks=False))
        except* OSError:
            pass

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: int, *, asks: bool
    ) -> None:
        try:
            while piece := await reader.read(65_536):
                self.bytes += len(piece)
                if asks:
                    if who not in self._asking:
                        self.round_trips += 1
                    self._asking.add(who)
                    self.commands.append(piece)
                else:
                    self._asking.discard(who)
                writer.write(piece)
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def counting_proxy(port: int) -> AsyncIterator[CountingProxy]:
    """Run a proxy to a local port as long as the block lasts."""
    proxy = CountingProxy(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
