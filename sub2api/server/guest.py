"""A connection that Hypercorn serves: watched like all others, and read a piece at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from sub2api.server.frames import MOST_BYTES, Frames
from sub2api.server.lane import NEVER, STALL_SECONDS, Lane, Watched
from sub2api.server.outgoing import Outgoing
from sub2api.server.turns import REST

_LAST_WORDS_SECONDS = 0.1
"""Between a reply's end and the connection's, at a stop: HTTP/2 ends a stream a moment later."""
_LINGER_SECONDS = 2.0
_MOST_LINGER = 4 << 20
_MOST_AHEAD = 65536
"""Bytes that wait for Hypercorn; beyond them reading stops."""
_QUICK = 16384
"""Bytes that HTTP/1.1 is given without waiting for a turn."""
_HEAD_END = b"\r\n\r\n"
_PREFACE_HEAD = b"PRI * HTTP/2.0\r\n\r\n"
_PREFACE = _PREFACE_HEAD + b"SM\r\n\r\n"


class Host(Watched, Protocol):
    """Who had the connection before, and may get it back."""

    half_closed: bool

    def take_back(self, guest: Guest, ahead: bytes) -> None:
        """Go on with a connection between two requests; `ahead` is there of the next ones."""
        ...


class Guest(Outgoing):
    """What Hypercorn reads from. Each piece is one turn's work, however small its parts are.

    Hypercorn has a deadline for idle connections only. Here a head that has begun must arrive in
    time, and whoever waits for a reply must take some of it.
    """

    def __init__(self, lane: Lane, host: Host, transport: asyncio.Transport) -> None:
        super().__init__(lane)
        self.peer = host.peer
        self.multiplexed = False
        """HTTP/2: frames come at any time, and say nothing about a request's beginning."""
        self.terminate: Callable[[], None] = lambda: None
        """Tells Hypercorn that this connection shall end."""
        self.half_closed = False
        self.returned = False
        self.lost = asyncio.Event()
        self._transport = transport
        self._host = host
        self._idle = True
        self._leaving = False
        self._ending = False
        self._lingered = 0
        self._paused = False
        self._ahead = b""
        self._at = 0
        """Up to here `_ahead` has been read."""
        self._news = asyncio.Event()
        self._frames: Frames | None = None
        self._in_head = True
        self._begins = b""
        """The first bytes of the present head."""
        self._seen = b""
        """The last ones so far: the head's end may come in two pieces."""

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        """Bytes have come; between requests they begin a head."""
        if self._ending:
            self._linger(len(data))
            return
        if self._idle and self.deadline == NEVER and not self.multiplexed:
            self.deadline = self._lane.clock.monotonic() + self._lane.server.read_header_timeout
        self._ahead = self._ahead[self._at :] + data if self._left else data
        self._at = 0
        self._news.set()
        if not self._paused and len(self._ahead) > _MOST_AHEAD:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more. Whoever waits for replies may still get them."""
        self.half_closed = True
        self._news.set()
        return not self._ending

    def resume_writing(self) -> None:
        """The client has caught up, or is gone."""
        super().resume_writing()
        if not self._ending:
            self.deadline = NEVER

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._lane.forget(self)
        self.lost.set()
        self.resume_writing()
        self._news.set()

    # What the lane calls.

    def overdue(self, now: float) -> None:
        """Close, unless a slow reader has taken something since the deadline was set."""
        if not self.reads_on(now):
            self._transport.abort()

    def drain(self) -> None:
        """Close when idle, else after the reply."""
        self._leaving = True
        if self._idle:
            self._leave_soon()

    def cut(self) -> None:
        """Close now."""
        self._transport.abort()

    # What Hypercorn calls, by way of `handover.py`.

    def at_eof(self) -> bool:
        """Whether there is nothing more to read."""
        over = self.returned or self._ending or self.lost.is_set()
        return over or (self.half_closed and not self._left)

    async def read(self) -> bytes:
        """Return the next piece, b"" when there is none any more. Raises Flood.

        Much of HTTP/1.1, and everything of HTTP/2, waits for its turn.
        """
        while not self.at_eof():
            if self._left > (0 if self.multiplexed else _QUICK):
                await self._lane.turns.come(REST)
            if piece := self._piece():
                return piece
            if not self.at_eof():
                self._news.clear()
                await self._news.wait()
        return b""

    def idle(self, idle: bool) -> None:
        """Hypercorn says whether it waits for a request."""
        self._idle = idle
        if self.writable and not self._ending:
            self.deadline = NEVER
        if idle:
            self._in_head = True
            self._begins = b""
            if self._leaving:
                self._leave_soon()

    def go_back(self, ahead: bytes) -> bool:
        """Return the connection between two requests of HTTP/1.1, unless it had better stay.

        `ahead` is what Hypercorn has read already of requests to come. Without the express lane
        only such connections go back, to wait for their turn or to be closed.
        """
        stays = not (ahead or self._left or self._lane.express or self._host.half_closed)
        if stays or self._leaving or self._ending or self._transport.is_closing():
            return False
        self.returned = True
        self._news.set()
        self._host.take_back(self, ahead + self._take())
        return True

    def end(self, last_words: bytes = b"") -> None:
        """Close, once the client has taken what was said.

        Who is in the middle of a request sends on for a moment: closing on unread bytes would take
        the reply from it.
        """
        if self._ending:
            return
        self._ending = True
        self._news.set()
        if last_words:
            self._transport.write(last_words)
            self._transport.write_eof()
        unread = self._transport.get_write_buffer_size() and not last_words
        patience = STALL_SECONDS if unread else _LINGER_SECONDS
        self.deadline = self._lane.clock.monotonic() + patience
        if self.half_closed or (self._idle and not last_words) or self._transport.is_closing():
            self._transport.close()
        else:
            self._transport.resume_reading()

    def has_just_come(self) -> None:
        """The process is stopping, and this one may still ask once."""
        self._leaving = True
        self.deadline = self._lane.first_deadline()

    # The rest is ours.

    @property
    def _left(self) -> int:
        return len(self._ahead) - self._at

    def _linger(self, count: int) -> None:
        self._lingered += count
        if self._lingered > _MOST_LINGER:
            self._transport.abort()

    def _take(self) -> bytes:
        taken, self._ahead, self._at = self._ahead[self._at :], b"", 0
        return taken

    def _piece(self) -> bytes:
        """Return what is one turn's work of what is there; b"" when that is too little."""
        end = self._frames_end() if self.multiplexed else self._bytes_end()
        if end == self._at and self.half_closed:
            end = len(self._ahead)
        piece, self._at = self._ahead[self._at : end], end
        if not self._left:
            self._take()
        if self._paused and self._left <= _QUICK and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return piece

    def _bytes_end(self) -> int:
        """A head is a piece of its own: what follows may be in another protocol."""
        end = min(len(self._ahead), self._at + MOST_BYTES)
        if self._in_head:
            seen = self._seen[-3:]
            window = seen + self._ahead[self._at : end]
            found = window.find(_HEAD_END)
            if found >= 0:
                end = self._at + found + len(_HEAD_END) - len(seen)
                self._in_head = False
            self._begins = (self._begins + window[len(seen) :])[:3]
            self._seen = window[-3:] if self._in_head else b""
        return end

    def _frames_end(self) -> int:
        if self._frames is None:
            read = len(_PREFACE_HEAD) if self._begins == b"PRI" else 0
            self._frames = Frames(len(_PREFACE) - read)
        return self._frames.piece(self._ahead, self._at, self._lane.clock.monotonic())

    def _leave_soon(self) -> None:
        asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, self._leave)

    def _leave(self) -> None:
        if self._idle:
            self.terminate()


class Outlet:
    """Where Hypercorn writes to, in the place of a StreamWriter."""

    def __init__(self, guest: Guest, transport: asyncio.Transport) -> None:
        self.get_extra_info = transport.get_extra_info
        self.write = transport.write
        self.write_eof = transport.write_eof
        self._guest = guest

    async def drain(self) -> None:
        """Wait until the client has caught up. Raises ConnectionResetError when it is gone."""
        await self._guest.until_writable()
        if self._guest.lost.is_set():
            raise ConnectionResetError("the client is gone")

    def close(self) -> None:
        """End, once the client has taken what was said."""
        self._guest.end()

    async def wait_closed(self) -> None:
        """Wait until the connection is over."""
        await self._guest.lost.wait()
