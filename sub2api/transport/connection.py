"""One upstream HTTP/1.1 connection, and the response that is being read from it.

llhttp (through httptools) parses; framing it calls ambiguous is refused. Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import cast

import httptools

from sub2api.errors import TransportError
from sub2api.transport.decoders import DECODING_ERRORS, Decoder, decoder_for

_HIGH_WATER = 131072
_MOST_HEADERS = 100
_MOST_HEADER_BYTES = 65536


class PooledResponse:
    """See `messages.Response`. Owned by one reader."""

    def __init__(self, connection: Connection, idle: float) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._idle = idle
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._complete = False
        self._error: TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._decoder: Decoder | None = None
        self._decoded: Iterator[bytes] = iter(())

    @property
    def held(self) -> int:
        """Bytes received and not yet read."""
        return self._held

    async def chunk(self) -> bytes:
        """Return the next decoded bytes, b"" at the end."""
        while True:
            if self._decoder is not None and (plain := self._next_decoded()):
                return plain
            if self._chunks:
                data = self._chunks.popleft() if len(self._chunks) == 1 else self._join()
                self._held = 0
                self._connection.resume(self)
                if self._decoder is None:
                    return data
                self._decoded = self._decoder.decode(data)
                continue
            if self._error is not None:
                raise self._error
            if self._complete:
                self._check_decoded()
                return b""
            await self._wait()

    async def read(self, limit: int) -> bytes:
        """Return the whole body."""
        parts: list[bytes] = []
        size = 0
        while data := await self.chunk():
            size += len(data)
            if size > limit:
                self.close()
                raise TransportError(
                    f"the upstream's body is larger than {limit} bytes",
                    cause="too_large",
                    sent=True,
                )
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Let go of the connection; it is closed unless the body came to its end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._complete:
            self._connection.abandon(self)

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head has arrived."""
        self.status = status
        encoding = next((value for name, value in headers if name == b"content-encoding"), b"")
        self._decoder = decoder_for(encoding.decode("latin-1"))
        if self._decoder is not None:
            dropped = {b"content-encoding", b"content-length"}
            headers = [pair for pair in headers if pair[0] not in dropped]
        self.headers = headers

    def push(self, data: bytes) -> bool:
        """Body bytes have arrived. Returns False when the reader is too far behind."""
        self._chunks.append(data)
        self._held += len(data)
        self._wake()
        return self._held < _HIGH_WATER

    def finish(self) -> None:
        """The body is complete."""
        self._complete = True
        self._wake()

    def fail(self, error: TransportError) -> None:
        """The body will not be complete. What has arrived can still be read."""
        if not self._complete and self._error is None:
            self._error = error
            self._wake()

    def _join(self) -> bytes:
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data

    def _next_decoded(self) -> bytes:
        try:
            return next(self._decoded, b"")
        except DECODING_ERRORS:
            self.close()
            raise TransportError(
                "the upstream's body does not match its content-encoding",
                cause="protocol",
                sent=True,
            ) from None

    def _check_decoded(self) -> None:
        if self._decoder is not None and not self._decoder.complete:
            raise TransportError("the compressed body broke off", cause="truncated", sent=True)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        self._waiting_since = self._loop.time()
        if self._timer is None and self._idle > 0:
            self._timer = self._loop.call_later(self._idle, self._check_idle)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _check_idle(self) -> None:
        """One lazy timer per response: most of the time it finds that all is well."""
        now = self._loop.time()
        quiet = now - self._waiting_since if self._waiter is not None else 0.0
        if quiet >= self._idle:
            self._timer = None
            self.fail(TransportError("the upstream fell silent", cause="idle_timeout", sent=True))
            self._connection.abandon(self)
            return
        self._timer = self._loop.call_later(self._idle - quiet, self._check_idle)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """A keep-alive connection; `released` hears once per exchange whether it can be reused."""

    def __init__(self, released: Callable[[Connection, bool], None]) -> None:
        self._released = released
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._response: PooledResponse | None = None
        self._head: asyncio.Future[PooledResponse] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._framed = False
        self._informational = False
        self._paused = False
        self.idle_since = 0.0
        self.closed = False

    # What the pool calls.

    async def exchange(
        self, data: list[bytes], *, first_byte: float, idle: float
    ) -> PooledResponse:
        """Send a request and return the response when its head is there."""
        if self._transport is None or self.closed:
            raise TransportError("the connection is closed", cause="reset", sent=False)
        response = PooledResponse(self, idle)
        self._response = response
        self._parser = httptools.HttpResponseParser(self)
        self._headers, self._header_bytes = [], 0
        self._head = self._loop.create_future()
        try:
            async with asyncio.timeout(first_byte or None):
                self._transport.writelines(data)
                return await self._head
        except TimeoutError:
            self.abandon(response)
            raise TransportError(
                "the upstream did not answer in time", cause="first_byte_timeout", sent=True
            ) from None
        except BaseException:
            self.abandon(response)
            raise

    def resume(self, response: PooledResponse) -> None:
        """The reader has caught up."""
        if self._paused and self._response is response and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def abandon(self, response: PooledResponse) -> None:
        """The reader does not want the rest."""
        if self._response is response:
            self._over(reusable=False)

    def close(self) -> None:
        """Close the connection at once."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse; bytes that nobody asked for end the connection."""
        if self._response is None or self._parser is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the upstream switched protocols unasked", "protocol")
        except httptools.HttpParserError:
            self._fail("the upstream does not speak HTTP/1.1", "protocol")

    def eof_received(self) -> bool:
        """The peer is done; a body without framing ends here."""
        if self._response is not None and self._response.status and not self._framed:
            response = self._response
            self._over(reusable=False)
            response.finish()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever was under way fails."""
        self.closed = True
        if self._response is not None and self._response.status:
            cause = "reset" if exc is not None else "truncated"
            self._fail("the upstream closed the connection in mid-reply", cause)
        else:
            self._fail("the upstream closed the connection without a reply", "reset")

    # What llhttp calls.

    def on_message_begin(self) -> None:
        """A message begins: forget an informational one's headers."""
        self._headers = []
        if self._response is None:
            self.close()  # a second reply to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header, within limits."""
        self._header_bytes += len(name) + len(value)
        if len(self._headers) >= _MOST_HEADERS or self._header_bytes > _MOST_HEADER_BYTES:
            raise TransportError("the upstream's head is too large", cause="protocol", sent=True)
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there: hand the response over."""
        parser, response = self._parser, self._response
        if parser is None or response is None:
            return
        status = parser.get_status_code()
        self._informational = 100 <= status < 200
        if self._informational:
            return
        names = {name for name, _ in self._headers}
        empty = status in {204, 304}
        self._framed = empty or bool(names & {b"content-length", b"transfer-encoding"})
        response.begin(status, self._headers)
        if self._head is not None and not self._head.done():
            self._head.set_result(response)

    def on_body(self, body: bytes) -> None:
        """Pass body bytes on; stop reading while the reader is behind."""
        response = self._response
        if response is None or self._transport is None:
            return
        if not response.push(body) and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The body is complete: the connection is free for the next exchange."""
        parser, response = self._parser, self._response
        if parser is None or response is None or self._informational:
            return
        sent = self._transport is not None and self._transport.get_write_buffer_size() == 0
        self._over(reusable=bool(parser.should_keep_alive()) and self._framed and sent)
        response.finish()

    def _fail(self, message: str, cause: str) -> None:
        response, head = self._response, self._head
        error = TransportError(message, cause=cause, sent=True)
        self._over(reusable=False)
        if head is not None and not head.done():
            head.set_exception(error)
        elif response is not None:
            response.fail(error)

    def _over(self, *, reusable: bool) -> None:
        """End the exchange, once."""
        if self._response is None:
            return
        self._response = None
        self._head = None
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        if not reusable:
            self.close()
        self._released(self, reusable)
