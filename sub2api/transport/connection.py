"""One upstream HTTP/1.1 connection: writes a request, parses what comes back.

llhttp (through httptools) parses, in its strict mode; what it lets pass although it could be read
in two ways is refused here. Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
import math
from typing import Protocol, cast

import httptools

from sub2api.errors import TransportError
from sub2api.transport.encoding import SMALL_BODY, opening
from sub2api.transport.messages import Deadlines, Origin, Target
from sub2api.transport.response import PooledResponse
from sub2api.transport.transports import cause_of, is_cut, is_silent, read_before_end

READ_BUFFER = 65536
"""Bytes read at once. With `response.HIGH_WATER` it bounds what a response can hold."""
_MOST_HEADERS = 100
_MOST_HEADER_BYTES = 65536
_VERSIONS = frozenset({"1.1", "1.0"})
_BODILESS = frozenset({204, 304})
_MOST_BARREN = 131072
"""Bytes that may pass without one of a body: a head, trailers, chunk extensions."""
_MOST_INFORMATIONAL = 16
_UPLOAD_SLICE = 262144


class Owner(Protocol):
    """Who keeps the connection between exchanges."""

    def release(self, connection: Connection, *, reusable: bool) -> None:
        """An exchange is over; called once for each."""
        ...

    def lost(self, connection: Connection) -> None:
        """The connection has gone down, in use or idle."""
        ...


class Connection(asyncio.BufferedProtocol):
    """A connection that carries one exchange after the other.

    `buffer` is where bytes are received; connections of one loop share it, because what arrives
    is parsed, hence copied, before anything else runs.
    """

    def __init__(self, owner: Owner, origin: Origin, buffer: memoryview) -> None:
        self.origin = origin
        self.idle_since = 0.0
        self.closed = False
        self._owner = owner
        self._buffer = buffer
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._response: PooledResponse | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = math.inf
        self._timeout_cause = ""
        self._timer: asyncio.TimerHandle | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._fresh: list[bytes] = []
        self.on_body = self._fresh.append
        """What llhttp calls with body bytes: they go on once per read, however small they are."""
        self._barren = 0
        self._informational = 0
        self._in_head = True
        self._answering = False
        self._framed = False
        self._is_head = False
        self._proxied = False
        self._uploading = False
        self._read_paused = False
        self._write_paused = False

    # What the pool calls.

    async def exchange(self, target: Target, body: bytes, deadlines: Deadlines) -> PooledResponse:
        """Send a request and return its response when the head is there.

        Cancelling it, here or in the response's reader, closes the connection.
        """
        transport = self._transport
        if transport is None or self.closed:
            self._owner.release(self, reusable=False)
            raise TransportError("the connection is closed", cause="reset", sent=False)
        response = self._begin(target, deadlines)
        try:
            head = opening(target, body)
            if len(body) > SMALL_BODY:
                await self._upload(response, head, body, deadlines.first_byte)
            else:
                transport.write(head)
            while not response.status and response.error is None:
                await self.wait(response, deadlines.first_byte, "first_byte_timeout")
        except BaseException:
            self.abandon(response)
            raise
        if response.error is not None and not response.status:
            raise response.error
        return response

    def is_silent(self) -> bool:
        """Whether an idle connection is still open and nothing waits to be read from it."""
        return not self.closed and self._transport is not None and is_silent(self._transport)

    def close(self) -> None:
        """Close the connection at once; an exchange under way fails."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        if self._response is not None:
            self._fail("the connection was closed", "reset")

    # What the response calls.

    async def wait(self, response: PooledResponse, seconds: float, cause: str) -> None:
        """Wait until something happened to the response; `seconds` 0 = for ever."""
        if self._response is not response:
            return
        waiter = self._waiter = self._loop.create_future()
        if seconds > 0:
            self._arm(seconds, cause)
        try:
            await waiter
        except BaseException:
            self.abandon(response)
            raise
        finally:
            # Between the wake-up and now the next exchange may have begun, with its own waiter.
            if self._waiter is waiter:
                self._waiter = None
                self._deadline = math.inf

    def caught_up(self, response: PooledResponse) -> None:
        """The reader wants more."""
        if self._read_paused and self._response is response and self._transport is not None:
            self._read_paused = False
            self._transport.resume_reading()

    def abandon(self, response: PooledResponse) -> None:
        """The reader does not want the rest: the only way to say so is to hang up."""
        if self._response is response:
            self._fail("the response was abandoned", "reset")

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        read_before_end(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to receive."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was received; bytes that nobody asked for end the connection."""
        parser = self._parser
        if self._response is None or parser is None:
            self.close()
            return
        self._answering = True
        self._barren += nbytes
        try:
            parser.feed_data(self._buffer[:nbytes])
        except httptools.HttpParserUpgrade:
            self._fail("the upstream switched protocols unasked", "protocol")
        except httptools.HttpParserError:
            self._deliver()
            self._fail("the upstream does not speak proper HTTP/1.1", "protocol")
        if self._fresh:
            self._deliver()
        elif self._barren > _MOST_BARREN:
            self._fail("the upstream's head or framing is too large", "protocol")

    def eof_received(self) -> bool:
        """The peer has finished; a body without framing ends here."""
        response, transport = self._response, self._transport
        self.closed = True
        if response is not None and response.status and not self._framed:
            if transport is not None and is_cut(transport):
                self._fail("the upstream's TLS stream was cut", "truncated")
            else:
                self._over(response, reusable=False, error=None)
        return False

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """The transport's buffer has room."""
        self._write_paused = False
        if self._uploading:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever was under way fails."""
        self._transport = None
        if self._response is not None:
            cause = cause_of(exc, answering=self._answering)
            self._fail("the upstream closed the connection", cause)
        self.close()
        self._owner.lost(self)

    # What llhttp calls.

    def on_message_begin(self) -> None:
        """A message begins."""
        self._headers = []
        self._in_head = True
        if self._response is None:
            self.close()  # a second reply to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; leave trailers. How many there may be, `_barren` bounds meanwhile."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """A head is there: hand it over, unless it is informational or could be misread."""
        parser, response = self._parser, self._response
        self._in_head = False
        if parser is None or response is None:
            return
        status = parser.get_status_code()
        if 100 <= status < 200:
            self._interim()
            return
        if status == 407 and self._proxied:
            self._fail("the proxy cannot be used: it answered 407", "proxy")
            return
        fields = dict(reversed(self._headers))
        if objection := self._frame(status, parser.get_http_version(), fields):
            self._fail(objection, "protocol")
            return
        try:
            response.begin(status, self._headers, fields)
        except TransportError as error:
            self._fail(str(error), error.cause)
            return
        if self._is_head:
            self._parser = None  # it would wait for the body that the head describes
            self._over(response, reusable=parser.should_keep_alive(), error=None)
        self._wake()

    def _interim(self) -> None:
        """An informational response: the final one is still to come."""
        self._informational += 1
        if self._informational > _MOST_INFORMATIONAL:
            self._fail("the upstream sends no final response", "protocol")

    def on_message_complete(self) -> None:
        """The body is complete: the connection is free for the next exchange."""
        self._deliver()
        parser, response = self._parser, self._response
        if parser is None or response is None or not response.status:
            return
        self._over(response, reusable=parser.should_keep_alive(), error=None)

    def _deliver(self) -> None:
        """Pass the body's bytes on; stop reading while the reader is behind."""
        fresh = self._fresh
        if not fresh:
            return
        data = fresh[0] if len(fresh) == 1 else b"".join(fresh)
        fresh.clear()
        self._barren = 0
        response = self._response
        if response is None or self._transport is None:
            self.close()  # a body where none may be
            return
        if response.sink is not None:
            if not response.pour(data):
                self._wake()
            elif response.idle > 0:
                self._deadline = self._loop.time() + response.idle
            return
        if not response.push(data) and not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()
        self._wake()

    # The rest is ours.

    def _begin(self, target: Target, deadlines: Deadlines) -> PooledResponse:
        response = self._response = PooledResponse(self, deadlines.idle)
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._barren = self._informational = 0
        self._answering = self._framed = False
        self._is_head, self._proxied = target.is_head, target.proxied
        return response

    async def _upload(
        self, response: PooledResponse, head: bytes, body: bytes, patience: float
    ) -> None:
        """Write a large body in slices, without copying it, as fast as the upstream takes them.

        Stops when the upstream answers before it has all: it will not read the rest. `patience`
        (`Deadlines.first_byte`) begins anew with every slice that was taken.
        """
        transport = cast(asyncio.Transport, self._transport)
        view = memoryview(body)
        self._uploading = True
        transport.writelines([head, view[:_UPLOAD_SLICE]])
        for start in range(_UPLOAD_SLICE, len(view), _UPLOAD_SLICE):
            # Let the loop see an early answer even while the kernel takes all we write.
            await asyncio.sleep(0)
            while self._write_paused and not response.status and response.error is None:
                await self.wait(response, patience, "first_byte_timeout")
            if response.status or response.error is not None:
                return
            transport.write(view[start : start + _UPLOAD_SLICE])
        self._uploading = False

    def _frame(self, status: int, version: str, fields: dict[bytes, bytes]) -> str:
        """Learn how the body ends; return an objection if it could be understood in two ways."""
        if self._is_too_large():
            return "the upstream's head is too large"
        if version not in _VERSIONS or not 200 <= status <= 999:
            return "the upstream does not speak HTTP/1.1"
        coded = b"transfer-encoding" in fields
        if coded:
            # Read to the byte as llhttp reads it: no stripping here.
            codings = [value for name, value in self._headers if name == b"transfer-encoding"]
            if version == "1.0" or [each.lower() for each in codings] != [b"chunked"]:
                return "the upstream's transfer-encoding is not understood"
        self._framed = coded or b"content-length" in fields or status in _BODILESS
        return ""

    def _is_too_large(self) -> bool:
        """Whether a head is too large; what was received since it began bounds its bytes."""
        headers = self._headers
        if len(headers) > _MOST_HEADERS:
            return True
        return self._barren > _MOST_HEADER_BYTES and (
            sum([len(name) + len(value) for name, value in headers]) > _MOST_HEADER_BYTES
        )

    def _fail(self, message: str, cause: str) -> None:
        response = self._response
        if response is not None:
            error = TransportError(message, cause=cause, sent=cause != "proxy")
            self._over(response, reusable=False, error=error)

    def _over(
        self, response: PooledResponse, *, reusable: bool, error: TransportError | None
    ) -> None:
        """End the exchange: complete, or with an error."""
        transport = self._transport
        self._response = None
        if error is None:
            response.finish()
        else:
            response.fail(error)
        clear = transport is not None and transport.get_write_buffer_size() == 0
        keep = reusable and clear and not (self._uploading or self.closed)
        self._uploading = False
        if not keep:
            self.close()
        elif self._read_paused and transport is not None:
            self._read_paused = False
            transport.resume_reading()
        self._wake()
        self._owner.release(self, reusable=keep)

    def _arm(self, seconds: float, cause: str) -> None:
        """Set the deadline. One timer serves all deadlines: when it fires it looks at the last."""
        self._deadline = self._loop.time() + seconds
        self._timeout_cause = cause
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if self._deadline == math.inf:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
            return
        self._fail("the upstream kept silent for too long", self._timeout_cause)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
