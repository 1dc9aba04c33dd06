"""The express lane: gateway requests served straight from the socket, everything else handed over.

One `ExpressConnection` per client connection. At a request boundary it looks at the request line:
a path of the gateway is served here, through the same pipeline as any other front door; anything
else goes to Hypercorn and the web app, on the same connection, with the bytes read so far.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Coroutine
from typing import Any, cast

from sub2api.errors import ClientError
from sub2api.gateway.answer import id_headers, refusal
from sub2api.model.routes import Wire
from sub2api.protocols.dialects import DIALECTS
from sub2api.server.arrival import Arrival
from sub2api.server.guest import Guest
from sub2api.server.heads import CHUNKED, UNREAD, BadRequest, Head
from sub2api.server.intake import Elsewhere, Intake, Refused, Request
from sub2api.server.lane import NEVER, STALL_SECONDS, Lane
from sub2api.server.outgoing import Outgoing
from sub2api.server.replies import CONTINUE, LinkReply, probe
from sub2api.server.turns import BULK_READ, REST

_HIGH_WATER = 65536
_MOST_AHEAD = 65536
"""Bytes of following requests that are held while one is served; then reading stops."""
_SMALL_BODY = 65536
"""Bodies above this are read only for a key that exists."""
_LINGER_SECONDS = 2.0
_MOST_LINGER = 4 << 20


class _Phase(enum.Enum):
    READING = "reading"
    CHECKING = "checking"
    SERVING = "serving"
    WAITING = "waiting"
    """A request is here, or its beginning, and its turn is not."""
    LINGERING = "lingering"
    GONE = "gone"


class ExpressConnection(Outgoing):
    """One client connection; requests are served in order, one at a time."""

    def __init__(self, lane: Lane) -> None:
        super().__init__(lane)
        self.peer = ""
        self.keep_alive = True
        self.dates = lane.dates
        self.write: Callable[[bytes], None] = cast(Any, None)
        self._phase = _Phase.READING
        self._intake = Intake(lane.server.max_request_body_size)
        self._arrived = 0.0
        self._arrival = Arrival(lane)
        self._reply: LinkReply | None = None
        self.half_closed = False
        self._paused = False
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
            if not self._arrival.under_way and self._intake.idle:
                self._request_begins()
                if (request := self._intake.whole(data)) is not None:
                    self._dispatch(request)
                    return
            if not self._arrival.under_way or self._body_goes_on(len(data)):
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
        self.half_closed = True
        if self._reply is not None:
            probe(self._reply, self._transport, self._loop)
        self._advance()
        return True

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        if self._phase is _Phase.SERVING:
            self.deadline = NEVER
            if self._reply is None:
                self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._phase = _Phase.GONE
        self._arrival.let_go()
        self._lane.forget(self)
        self._intake = Intake(0)
        super().resume_writing()
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.left()

    # What the lane calls.

    def overdue(self, now: float) -> None:
        """Close, unless a slow reader has taken something since the deadline was set."""
        if self.reads_on(now):
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

    # What Hypercorn's guest calls.

    def take_back(self, guest: Guest, ahead: bytes) -> None:
        """Go on behind a request that the web app has answered."""
        self._lane.replace(guest, self)
        self._transport.set_protocol(self)
        self._intake.go_on(ahead)
        self.half_closed |= guest.half_closed
        self._paused = True  # maybe: it resumes in any case
        self.deadline = NEVER
        self._go_on()

    # What the reply calls.

    def replied(self, reply: LinkReply, *, complete: bool) -> None:
        """A reply is over: go on with the next request, or close."""
        if self._reply is not reply:
            return
        self._reply = None
        self._arrival.let_go()
        if not complete:
            self._transport.abort()
        elif self._lingers:
            self._linger()
        elif self.writable or not self.keep_alive:
            self._go_on()  # else when the client has caught up: replies must not pile up

    # The rest is ours: a request's way in.

    def _go_on(self) -> None:
        over = self.half_closed and not self._intake.buffer
        if over or not self.keep_alive or self._lane.draining:
            self._close()
            return
        self._phase = _Phase.READING
        self._resume_reading()
        if self._intake.buffer:
            # Not at once: floods of requests sent ahead must not starve the other connections.
            self._phase = _Phase.WAITING
            self._lane.turns.queue(self._turn_comes, REST)
        else:
            self.deadline = self._lane.clock.monotonic() + self._lane.server.idle_timeout

    def _turn_comes(self) -> None:
        if self._phase is not _Phase.WAITING:
            return
        self._phase = _Phase.READING
        self._resume_reading()
        self._request_begins()
        if self._lane.express:
            self._advance()
        else:
            self._hand_over()

    def _close(self) -> None:
        """End, once the client has taken what was said."""
        self._phase = _Phase.GONE
        self.deadline = self._lane.clock.monotonic() + STALL_SECONDS
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
            if self.half_closed:
                self._close()
        elif isinstance(found, Elsewhere):
            self._hand_over()
        elif found.complete:
            if found.parts is None:
                self._dispatch(found)
            else:
                self._meanwhile(found, self._gather(found, found.parts), self._dispatch)
        else:
            self._expect_body(found)

    def _expect_body(self, request: Request) -> None:
        """A head is there, its body is not. A large body is read only for a key that exists."""
        self.deadline = self._arrival.begins()
        head = request.head
        if head.length == CHUNKED or head.length > _SMALL_BODY:
            pipeline = self._lane.pipeline
            call = self._lane.call(request, self.peer, self._arrived)
            if not pipeline.knows_key(call):
                self._meanwhile(request, pipeline.check_key(call), self._key_is_good)
                return
        self._read_body(request)

    def _key_is_good(self, request: Request) -> None:
        self._phase = _Phase.READING
        self.deadline = self._arrival.begins()
        self._resume_reading()
        self._read_body(request)

    async def _gather(self, request: Request, parts: list[bytes]) -> None:
        request.body = await self._lane.pipeline.parts.bodies.gathered(parts)

    def _meanwhile(
        self, request: Request, work: Coroutine[Any, Any, None], then: Callable[[Request], None]
    ) -> None:
        """Do what takes a moment, then go on, or refuse the request with what it raised."""
        self._phase = _Phase.CHECKING
        self.deadline = NEVER

        async def wait() -> None:
            try:
                await work
            except ClientError as error:  # kept no longer: it holds the frame, that the body
                if self._phase is _Phase.CHECKING:
                    self.keep_alive = False
                    self._refuse(error, request.head, request.match.wire)
                return
            if self._phase is _Phase.CHECKING:
                then(request)

        self._lane.pipeline.parts.spawn(wait())

    def _body_goes_on(self, count: int) -> bool:
        """Count bytes of a body; False when it was refused for want of room."""
        request = self._intake.arriving
        if request is None:
            return True
        if count >= BULK_READ:
            self._pause_reading()
            self._lane.turns.queue(self._next_turn)
        try:
            self.deadline = self._arrival.got(count)
        except ClientError as error:
            self.keep_alive = False
            self._refuse(error, request.head, request.match.wire)
            return False
        return True

    def _next_turn(self) -> None:
        waits = len(self._intake.buffer) > _MOST_AHEAD
        if self._phase is not _Phase.GONE and not waits and not self._transport.is_closing():
            self._resume_reading()

    def _read_body(self, request: Request) -> None:
        here = len(self._intake.buffer)
        if request.head.expects_continue and not here:
            self._transport.write(CONTINUE)
        if self._body_goes_on(here):
            self._advance()

    def _dispatch(self, request: Request) -> None:
        """A request is complete: serve it."""
        head = request.head
        self._phase = _Phase.SERVING
        self._arrival.ends()
        self.deadline = NEVER
        self.keep_alive = head.keep_alive and not self._lane.draining
        reply = self._reply = LinkReply(self, head.method, head.version)
        pipeline = self._lane.pipeline
        call = self._lane.call(request, self.peer, self._arrived)
        pipeline.parts.spawn(pipeline.serve(call, reply))

    def _ahead(self, data: bytes) -> None:
        """Keep what came before its turn, within a limit."""
        self._intake.feed(data)
        if len(self._intake.buffer) > _MOST_AHEAD:
            self._pause_reading()

    def _pause_reading(self) -> None:
        if not self._paused:
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
        self._say_no(UNREAD, error.status, *error.shown())

    def _say_no(
        self, head: Head, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        self._phase = _Phase.SERVING
        self._arrival.ends()
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
