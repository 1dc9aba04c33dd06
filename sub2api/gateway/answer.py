"""The reply as the pipeline sees it: a state machine that makes two replies impossible.

*unsent*: nothing written. *waiting*: status 200 and our own keep-alives only. *answered*: the
upstream's first frame (or a refusal) was written; from here on there is no other account.
"""

from __future__ import annotations

import asyncio
import math
from enum import Enum

import msgspec

from sub2api.clock import Clock
from sub2api.errors import ClientError
from sub2api.gateway.call import Call, Reply
from sub2api.model.routes import Wire
from sub2api.protocols.interface import Dialect

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class State(Enum):
    """How much of the reply is decided."""

    UNSENT = "unsent"
    WAITING = "waiting"
    ANSWERED = "answered"


_LIMIT_HEADERS = b"x-ratelimit-"


class Used(msgspec.Struct, frozen=True):
    """What a settled call used: tokens of all classes, and nanodollars with and without multiplier.

    `tokens` None: nothing is known, the estimate stands.
    """

    tokens: int | None
    cost: int
    list_cost: int


def status_for(error: ClientError, wire: Wire) -> int:
    """Return the status a refusal has on a wire: only Messages clients know 529 and 402."""
    if wire is Wire.MESSAGES:
        return error.status
    return {529: 503, 402: 429}.get(error.status, error.status)


def id_headers(call_id: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that name the call, under both names that SDKs print."""
    return [(b"request-id", call_id.encode()), (b"x-request-id", call_id.encode())]


class Answer:
    """Writes one reply, in the client's dialect, with keep-alives while there is nothing to say."""

    state = State.UNSENT
    status = 0
    waited_upstream = 0.0
    """Seconds spent waiting for upstreams until the reply began."""
    queued = 0.0
    """Seconds spent waiting for a slot."""
    overhead = 0.0
    """Seconds of our own work until the reply began; known from then on."""
    platform = ""
    """The vendor that was called last, "" for none."""
    first_token: float | None = None
    """Seconds until the first generated content."""
    limits: tuple[tuple[bytes, bytes], ...] = ()
    """Headers that tell of the caller's own limits; the vendor's, which tell of its account's, give
    way to them."""
    entered = False
    """Whether places were taken that have to be given back."""
    used: Used | None = None
    """What the call is booked with, once it is settled."""
    _timer: asyncio.TimerHandle | None = None
    _interval = 0.0
    _last_write = 0.0

    def __init__(self, call: Call, reply: Reply, dialect: Dialect, clock: Clock) -> None:
        self._call = call
        self._reply = reply
        self.dialect = dialect
        self._clock = clock
        self._began = clock.monotonic()

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return self._reply.gone

    def keep_alive(self, interval: float) -> None:
        """From now on, say something in the client's dialect after `interval` silent seconds."""
        if interval <= 0 or not self.dialect.keep_alive:
            return
        self._interval = interval
        self._last_write = self._clock.monotonic()
        self._timer = asyncio.get_running_loop().call_later(interval, self._tick)

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Relay the upstream's head. After keep-alives have begun, it is already decided."""
        if self.state is State.UNSENT:
            self._reply.start(status, self._headed(status, headers))
        self.state = State.ANSWERED

    async def write(self, data: bytes) -> None:
        """Relay body bytes: complete events, on streams."""
        if data:
            await self._reply.send(data)
            if self._timer is not None:
                self._last_write = self._clock.monotonic()

    def push(self, data: bytes) -> bool:
        """Do what `write` does without waiting; False when the client is behind: see `ready`."""
        if self._timer is not None:
            self._last_write = self._clock.monotonic()
        return not data or self._reply.push(data)

    async def ready(self) -> None:
        """Wait until the client has caught up, or has left."""
        await self._reply.ready()

    async def end(self) -> None:
        """Finish properly."""
        self.stop()
        if not self._reply.gone:
            await self._reply.end()

    def whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a complete reply."""
        self.stop()
        if self.state is not State.UNSENT:
            raise RuntimeError("a reply has begun: a whole one cannot follow")
        self.state = State.ANSWERED
        self._reply.whole(status, self._headed(status, headers), body)

    async def refuse(self, error: ClientError) -> None:
        """Say no: as a JSON error before anything was sent, as the dialect's error event after."""
        if self.state is State.UNSENT:
            self.whole(*refusal(self.dialect, error, self._call.id))
            return
        self.state = State.ANSWERED
        await self._reply.send(self.dialect.error_event(error, self._call.id))
        await self.end()

    def abort(self) -> None:
        """Cut the reply, where not even an error event can be said."""
        self.stop()
        self._reply.abort()

    def stop(self) -> None:
        """No more keep-alives."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _headed(self, status: int, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The reply begins now: return its headers with those that every reply has."""
        self.status = status
        took = self._clock.monotonic() - self._began
        self.overhead = max(0.0, took - self.waited_upstream - self.queued)
        timing = b"gw;dur=%.2f" % (self.overhead * 1000)
        if self.queued:
            timing += b", queue;dur=%.2f" % (self.queued * 1000)
        if self.limits:
            headers = [each for each in headers if not each[0].startswith(_LIMIT_HEADERS)]
            headers.extend(self.limits)
        return [*headers, *id_headers(self._call.id), (b"server-timing", timing)]

    def _tick(self) -> None:
        now = self._clock.monotonic()
        silent = now - self._last_write
        if silent >= self._interval * 0.99:
            if self.state is State.UNSENT:
                self._reply.start(200, self._headed(200, _STREAM_HEADERS))
                self.state = State.WAITING
            self._reply.try_send(self.dialect.keep_alive)
            self._last_write = now
            silent = 0.0
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._interval - silent, self._tick)


def refusal(
    dialect: Dialect, error: ClientError, call_id: str
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body of a refusal, in the client's dialect."""
    body = dialect.refusal(error, call_id)
    return status_for(error, dialect.wire), _refusal_headers(error), body


def _refusal_headers(error: ClientError) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", b"application/json")]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    if not error.retry_helps:
        headers.append((b"x-should-retry", b"false"))
    return headers
