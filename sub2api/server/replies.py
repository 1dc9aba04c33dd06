"""A `Reply` written straight to a client's connection. Source: RFC 9112."""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

_REASONS = {status.value: status.phrase for status in http.HTTPStatus}
_NO_BODY = frozenset({204, 304})
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_PROBE_SECONDS = (0.1, 0.5, 2.0)
_SMALL = 16384
"""Up to here, a write that was joined is cheaper than several handed over."""


class Dates:
    """The present moment, to a second, as a Date header's line; whoever owns it keeps it fresh."""

    line = b""


class Link(Protocol):
    """What a reply needs of its connection."""

    keep_alive: bool
    writable: bool
    dates: Dates

    @property
    def write(self) -> Callable[[bytes], None]:
        """What hands bytes to the transport."""
        ...

    def write_several(self, parts: list[bytes]) -> None:
        """Hand bytes to the transport, one after the other."""
        ...

    async def until_writable(self) -> None:
        """Wait while the client reads too slowly; returns at once when it is gone."""
        ...

    def replied(self, reply: LinkReply, *, complete: bool) -> None:
        """The reply is over; if it is not complete the client must see that."""
        ...


class LinkReply:
    """See `gateway.call.Reply`. The head goes out together with the first bytes of the body."""

    __slots__ = (
        "_chunked",
        "_head",
        "_link",
        "_method",
        "_mute",
        "_over",
        "gone",
        "on_gone",
        "started",
        "version",
    )  # fmt: skip

    def __init__(self, link: Link, method: str, version: str) -> None:
        self.started = False
        self.gone = False
        self.on_gone: Callable[[], None] | None = None
        self._link = link
        self._method = method
        self.version = version
        self._head = b""
        self._chunked = False
        self._mute = False
        self._over = False

    def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Prepare the head. Raises RuntimeError when there is one, or a header has a line break."""
        framing = b""
        self._mute = self._method == "HEAD" or status in _NO_BODY
        if not self._mute and b"content-length" not in dict(headers):
            if self.version == "1.1":
                self._chunked = True
                framing = b"transfer-encoding: chunked\r\n"
            else:
                self._link.keep_alive = False  # only the end of the connection ends the body
        self._head = self._begun(status, headers, framing)

    def whole(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Write a complete reply; whoever reads it slowly is waited for by the connection."""
        bare = status in _NO_BODY
        framing = b"" if bare else b"content-length: %d\r\n" % len(body)
        head = self._begun(status, headers, framing)
        if self.gone or self._over:
            return
        self._over = True
        link = self._link
        if bare or self._method == "HEAD":
            link.write(head)
        elif len(body) <= _SMALL:
            link.write(head + body)
        else:
            link.write_several([head, body])
        link.replied(self, complete=True)

    async def send(self, data: bytes) -> None:
        """Write body bytes; waits while the client reads slowly."""
        if not self.push(data):
            await self._link.until_writable()

    def push(self, data: bytes) -> bool:
        """Write body bytes; False when the client is behind."""
        if self.gone:
            return True
        link = self._link
        if self._chunked and not self._head and len(data) <= _SMALL and data:
            link.write(b"%x\r\n%b\r\n" % (len(data), data))  # an event of a stream
        else:
            self._write(data)
        return link.writable

    async def ready(self) -> None:
        """Wait until the client has caught up."""
        if not self.gone:
            await self._link.until_writable()

    def try_send(self, data: bytes) -> None:
        """Write body bytes unless the client is behind."""
        if not self.gone and self._link.writable:
            self._write(data)

    async def end(self) -> None:
        """Finish the reply; the connection goes on to the next request."""
        self.finish()

    def finish(self) -> None:
        """Do what `end` does, without an await."""
        if self.gone or self._over:
            return
        self._over = True
        if self._chunked:
            self._link.write(self._take_head() + b"0\r\n\r\n")
        elif self._head:
            self._link.write(self._take_head())
        self._link.replied(self, complete=True)

    def abort(self) -> None:
        """Cut the connection."""
        if self.gone or self._over:
            return
        self._over = True
        self._link.replied(self, complete=False)

    def left(self) -> None:
        """The client has left."""
        if self.gone:
            return
        self.gone = True
        if self.on_gone is not None:
            self.on_gone()

    def _begun(self, status: int, headers: Sequence[tuple[bytes, bytes]], framing: bytes) -> bytes:
        """Return the head; there is only one in a reply."""
        if self.started:
            raise RuntimeError("the reply has begun already")
        self.started = True
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers):
            raise RuntimeError("a header of the reply has a line break in it")
        link = self._link
        if not link.keep_alive:
            framing += b"connection: close\r\n"
        elif self.version == "1.0":
            framing += b"connection: keep-alive\r\n"
        return b"%b%b%b%b\r\n" % (_status_line(status), link.dates.line, lines, framing)

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    def _write(self, data: bytes) -> None:
        if self._mute or not data:
            return
        link, head = self._link, self._head
        if head:
            self._head = b""
        if len(data) <= _SMALL:
            if self._chunked:
                link.write(b"%b%x\r\n%b\r\n" % (head, len(data), data))
            else:
                link.write(head + data)
        elif self._chunked:
            link.write_several([b"%b%x\r\n" % (head, len(data)), data, b"\r\n"])
        elif head:
            link.write_several([head, data])
        else:
            link.write(data)


@lru_cache(1024)
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n".encode()


def probe(
    reply: LinkReply,
    transport: asyncio.Transport,
    loop: asyncio.AbstractEventLoop,
    number: int = 0,
) -> None:
    """Find out whether a client that sends no more, and waits for a reply, is still there.

    One that has closed and one that only finished sending look alike. An interim response tells
    them apart: who is gone answers with a reset, who listens passes over it (RFC 9110 15.2).
    """
    if reply.started or reply.gone or reply.version == "1.0":
        return
    transport.write(CONTINUE)
    if number < len(_PROBE_SECONDS):
        loop.call_later(_PROBE_SECONDS[number], probe, reply, transport, loop, number + 1)
