"""The express lane: gateway requests served straight from the socket, everything else handed over.

One `ExpressConnection` per client connection. At a request boundary it looks at the request line:
a path of the gateway is served here, through the same pipeline as any other front door; anything
else goes to Hypercorn and the web app, on the same connection, with the bytes read so far.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import cast

import msgspec

from sub2api.errors import ClientError
from sub2api.gateway.answer import id_headers, refusal
from sub2api.gateway.bodies import Pace
from sub2api.gateway.call import Call
from sub2api.model.routes import Wire
from sub2api.protocols.dialects import DIALECTS
from sub2api.server.heads import CHUNKED, BadRequest, Head
from sub2api.server.intake import Elsewhere, Intake, Refused, Request
from sub2api.server.lane import NEVER, Lane
from sub2api.server.replies import LinkReply

_HIGH_WATER = 65536
_MOST_AHEAD = 65536
"""Bytes of following requests that are held while one is served; then reading stops."""
_SMALL_BODY = 65536
"""Bodies above this are read only for a key that exists."""
_STALL_SECONDS = 120.0
"""How long a client may take nothing of a reply that waits for it."""
_LINGER_SECONDS = 2.0
_MOST_LINGER = 4 << 20
_PROBE_SECONDS = (0.1, 0.5, 2.0)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_UNREAD = Head("GET", "", b"", (), {}, "1.1", False, False, False, {}, 0)
"""Stands for a request that could not be read."""


def _nowhere(_: bytes) -> None:
    raise RuntimeError("there is no transport yet")


class _Phase(enum.Enum):
    READING = "reading"
    CHECKING = "checking"
    SERVING = "serving"
    LINGERING = "lingering"
    GONE = "gone"


class ExpressConnection(asyncio.Protocol):
    """One client connection; requests are served in order, one at a time."""

    def __init__(self, lane: Lane) -> None:
        self.peer = ""
        self.deadline = NEVER
        self.keep_alive = True
        self.writable = True
        self.dates = lane.dates
        self.write: Callable[[bytes], None] = _nowhere
        self._lane = lane
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._phase = _Phase.READING
        self._intake = Intake(lane.server.max_request_body_size)
        self._arrived = 0.0
        self._pace: Pace | None = None
        self._reply: LinkReply | None = None
        self._drained: asyncio.Future[None] | None = None
        self._unread = 0
        self._half_closed = False
        self._paused = False
        self._held = 0
        self._used = False
        self._lingers = False
        self._lingered = 0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast(asyncio.Transport, transport)
        self.write = self._transport.write
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if peer else ""
        if not self._lane.admit(self):
            self._phase = _Phase.GONE
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        self.deadline = self._lane.first_deadline()
        if not self._lane.express:
            self._hand_over()

    def data_received(self, data: bytes) -> None:
        """Bytes have come: of a request, or of a later one."""
        if self._phase is _Phase.READING:
            if self._pace is None and self._intake.idle:
                self._request_begins()
                if (request := self._intake.whole(data)) is not None:
                    self._dispatch(request)
                    return
            if self._pace is None or self._body_goes_on(len(data)):
                self._intake.feed(data)
                self._advance()
        elif self._phase is _Phase.LINGERING:
            self._lingered += len(data)
            if self._lingered > _MOST_LINGER:
                self._transport.abort()
        elif self._phase is not _Phase.GONE:
            self._ahead(data)

    def eof_received(self) -> bool:
        """The client sends no more. Whoever waits for replies may still get them."""
        if self._phase in {_Phase.LINGERING, _Phase.GONE}:
            return False
        if self._phase is _Phase.READING and self._intake.idle:
            return False
        self._half_closed = True
        self._probe(0)
        self._advance()
        return True

    def pause_writing(self) -> None:
        """The client reads more slowly than the reply comes."""
        self.writable = False
        self._unread = self._transport.get_write_buffer_size()
        self.deadline = self._lane.clock.monotonic() + _STALL_SECONDS

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.writable = True
        if self._phase is _Phase.SERVING:
            self.deadline = NEVER
            if self._reply is None:
                self._go_on()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._phase = _Phase.GONE
        self._let_go()
        self._lane.forget(self)
        self._intake = Intake(0)
        self.writable = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.left()

    # What the lane calls.

    def overdue(self, now: float) -> None:
        """Close, unless a slow reader has taken something since the deadline was set."""
        if not self.writable:
            unread = self._transport.get_write_buffer_size()
            if unread < self._unread:
                self._unread = unread
                self.deadline = now + _STALL_SECONDS
                return
        if self._phase is _Phase.READING and not self._intake.idle:
            self._refuse_bytes(BadRequest("The request did not arrive in time.", 408))
        else:
            self._transport.abort()

    def drain(self) -> None:
        """Close when idle, else after the reply. Who has just come may still ask once."""
        self.keep_alive = False
        if self._phase is _Phase.READING and self._intake.idle:
            if self._used:
                self._transport.close()
            else:
                self.deadline = self._lane.first_deadline()

    def cut(self) -> None:
        """Close now."""
        self._transport.abort()

    # What the reply calls.

    def write_several(self, parts: list[bytes]) -> None:
        """Hand bytes to the transport, one after the other."""
        self._transport.writelines(parts)

    async def until_writable(self) -> None:
        """Wait until the client has caught up, or is gone."""
        while not self.writable:
            if self._drained is None or self._drained.done():
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    def replied(self, reply: LinkReply, *, complete: bool) -> None:
        """A reply is over: go on with the next request, or close."""
        if self._reply is not reply:
            return
        self._reply = None
        self._let_go()
        if not complete:
            self._transport.abort()
        elif self._lingers:
            self._linger()
        elif self.writable or not self.keep_alive:
            self._go_on()  # else when the client has caught up: replies must not pile up

    # The rest is ours: a request's way in.

    def _go_on(self) -> None:
        over = self._half_closed and not self._intake.buffer
        if over or not self.keep_alive or self._lane.draining:
            self._close()
            return
        self._phase = _Phase.READING
        self._resume_reading()
        if self._intake.buffer:
            self._request_begins()
            # Not at once: a flood of small requests must not starve the other connections.
            self._loop.call_soon(self._advance)
        else:
            self.deadline = self._lane.clock.monotonic() + self._lane.server.idle_timeout

    def _close(self) -> None:
        """End, once the client has taken what was said."""
        self._phase = _Phase.GONE
        self.deadline = self._lane.clock.monotonic() + _STALL_SECONDS
        self._transport.close()

    def _request_begins(self) -> None:
        self._used = True
        self._arrived = self._lane.clock.monotonic()
        self.deadline = self._arrived + self._lane.server.read_header_timeout

    def _advance(self) -> None:
        """Do what the bytes so far ask for."""
        if self._phase is not _Phase.READING:
            return
        try:
            found = self._intake.next()
        except BadRequest as error:
            self._refuse_bytes(error)
        except Refused as refused:
            self.keep_alive = refused.head.keep_alive and refused.in_step
            self._refuse(refused.error, refused.head, refused.wire)
        else:
            self._take_up(found)

    def _take_up(self, found: Request | Elsewhere | None) -> None:
        if found is None:
            if self._half_closed:
                self._close()
        elif isinstance(found, Elsewhere):
            self._hand_over()
        elif found.complete:
            self._dispatch(found)
        else:
            self._expect_body(found)

    def _expect_body(self, request: Request) -> None:
        """A head is there, its body is not. A large body is read only for a key that exists."""
        self._pace = Pace(self._lane.clock.monotonic())
        self.deadline = self._pace.deadline
        head = request.head
        if head.length == CHUNKED or head.length > _SMALL_BODY:
            pipeline = self._lane.pipeline
            call = self._lane.call(request, self.peer, self._arrived)
            if not pipeline.knows_key(call):
                self._phase = _Phase.CHECKING
                self.deadline = NEVER
                pipeline.parts.spawn(self._check(call, head))
                return
        self._read_body(head)

    def _body_goes_on(self, count: int) -> bool:
        """Count bytes of a body; False when it was refused for want of room."""
        pace, request = self._pace, self._intake.arriving
        if pace is None or request is None:
            return True
        self.deadline = pace.got(count, self._lane.clock.monotonic())
        self._held += count
        try:
            self._lane.pipeline.parts.bodies.take(count)
        except ClientError as error:
            self.keep_alive = False
            self._refuse(error, request.head, request.match.wire)
            return False
        return True

    def _let_go(self) -> None:
        if self._held:
            self._lane.pipeline.parts.bodies.give(self._held)
            self._held = 0

    async def _check(self, call: Call, head: Head) -> None:
        error = await self._lane.pipeline.refusal_of(call)
        if self._phase is not _Phase.CHECKING:
            return
        if error is not None:
            self.keep_alive = False
            self._refuse(error, head, call.match.wire)
            return
        self._phase = _Phase.READING
        self._pace = Pace(self._lane.clock.monotonic())
        self.deadline = self._pace.deadline
        self._resume_reading()
        self._read_body(head)

    def _read_body(self, head: Head) -> None:
        here = len(self._intake.buffer)
        if head.expects_continue and not here:
            self._transport.write(_CONTINUE)
        if self._body_goes_on(here):
            self._advance()

    def _dispatch(self, request: Request) -> None:
        """A request is complete: serve it."""
        head = request.head
        self._phase = _Phase.SERVING
        self._pace = None
        self.deadline = NEVER
        self.keep_alive = head.keep_alive and not self._lane.draining
        reply = self._reply = LinkReply(self, head.method, head.version)
        pipeline = self._lane.pipeline
        call = self._lane.call(request, self.peer, self._arrived)
        pipeline.parts.spawn(pipeline.serve(call, reply))

    def _ahead(self, data: bytes) -> None:
        """Keep what came before its turn, within a limit."""
        self._intake.feed(data)
        if len(self._intake.buffer) > _MOST_AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    # Refusals, and other ways out.

    def _refuse(self, error: ClientError, head: Head, wire: Wire) -> None:
        """Refuse a request of ours, in its client's dialect."""
        call_id = self._lane.clock.new_id("req_")
        status, headers, body = refusal(DIALECTS[wire], error, call_id)
        self._say_no(head, status, [*headers, *id_headers(call_id)], body)

    def _refuse_bytes(self, error: BadRequest) -> None:
        """Refuse what could not be read as a request, and end the connection."""
        self.keep_alive = False
        text = {"error": {"message": str(error), "type": "invalid_request_error"}}
        headers = [(b"content-type", b"application/json")]
        self._say_no(_UNREAD, error.status, headers, msgspec.json.encode(text))

    def _say_no(
        self, head: Head, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        self._phase = _Phase.SERVING
        self._pace = None
        self.deadline = NEVER
        self._lingers = not self.keep_alive
        reply = self._reply = LinkReply(self, head.method, head.version)
        reply.whole(status, headers, body)

    def _linger(self) -> None:
        """Read on for a moment: closing on unread bytes would take the refusal from the client."""
        self._phase = _Phase.LINGERING
        self._intake = Intake(0)
        self._resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.deadline = self._lane.clock.monotonic() + _LINGER_SECONDS

    def _hand_over(self) -> None:
        """The rest of this connection is Hypercorn's."""
        self._phase = _Phase.GONE
        self._lane.hand_over(self, self._transport, self._intake.take())

    def _probe(self, number: int) -> None:
        """Find out whether a client that sends no more is still there.

        One that has closed and one that only finished sending look alike. An interim response
        tells them apart: who is gone answers with a reset, who listens passes over it
        (RFC 9110 15.2).
        """
        reply = self._reply
        if reply is None or reply.started or reply.version == "1.0":
            return
        self._transport.write(_CONTINUE)
        if number < len(_PROBE_SECONDS):
            self._loop.call_later(_PROBE_SECONDS[number], self._probe, number + 1)
