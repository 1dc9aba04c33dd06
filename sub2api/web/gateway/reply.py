"""A `Reply` over a Quart response: the pipeline pushes, the response's iterator pulls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

_HIGH_WATER = 65536

Head = tuple[int, list[tuple[bytes, bytes]]]


class ReplyAborted(Exception):
    """Raised into the server, which then cuts the connection: the reply must not look complete."""


class QuartReply:
    """Bridges one call. Holds at most one write above 64 KiB."""

    def __init__(self) -> None:
        self.started = False
        self.gone = False
        self.on_gone: Callable[[], None] | None = None
        self._head: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._aborted = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Hand the head over."""
        if self.started:
            raise RuntimeError("the reply has begun already")
        self.started = True
        if not self._head.done():
            self._head.set_result((status, list(headers)))

    def whole(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Hand a complete reply over."""
        self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        self.push(body)
        self._end()

    async def send(self, data: bytes) -> None:
        """Hand body bytes over; waits while more than 64 KiB are unread."""
        if not self.push(data):
            await self._writable.wait()

    def push(self, data: bytes) -> bool:
        """Hand body bytes over; False when more than 64 KiB are unread."""
        if not self.gone and data:
            self._push(data)
        return self._writable.is_set()

    async def ready(self) -> None:
        """Wait until the response's iterator has caught up."""
        await self._writable.wait()

    def try_send(self, data: bytes) -> None:
        """Hand body bytes over only if nothing is unread."""
        if not self.gone and not self._chunks:
            self._push(data)

    async def end(self) -> None:
        """Finish the body."""
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._readable.set()

    def abort(self) -> None:
        """Cut the reply."""
        self._aborted = True
        self._readable.set()
        if not self._head.done():
            self._head.set_exception(ReplyAborted())

    async def head(self) -> Head:
        """Return the head once there is one. Raises ReplyAborted if there will be none."""
        return await self._head

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Closing the iterator early means that the client left."""
        try:
            while True:
                await self._readable.wait()
                if self._aborted:
                    raise ReplyAborted
                data = b"".join(self._chunks)
                self._chunks.clear()
                self._held = 0
                self._writable.set()
                if data:
                    yield data
                elif self._ended:
                    return
                if not self._chunks and not self._ended and not self._aborted:
                    self._readable.clear()
        finally:
            if not self._ended or self._chunks:
                self.left()

    def left(self) -> None:
        """The client has left: nobody waits for the rest."""
        if self.gone:
            return
        self.gone = True
        self._chunks.clear()
        self._writable.set()
        self._head.cancel()
        if self.on_gone is not None:
            self.on_gone()

    def _push(self, data: bytes) -> None:
        self._chunks.append(data)
        self._held += len(data)
        self._readable.set()
        if self._held > _HIGH_WATER:
            self._writable.clear()
