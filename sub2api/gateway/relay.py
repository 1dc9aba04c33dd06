"""Bring one upstream response back to the client, as faithfully as its bytes allow.

A stream is relayed in complete events, so that a keep-alive or an error never lands inside one.
"""

from __future__ import annotations

from sub2api.clock import Clock
from sub2api.errors import UPSTREAM, ClientError, TransportError, UpstreamError
from sub2api.gateway.answer import Answer, State
from sub2api.gateway.failures import break_text, broken, error_event
from sub2api.gateway.legs import Plan
from sub2api.gateway.metering import Ending, Tally
from sub2api.model.routes import Operation
from sub2api.model.tokens import Usage
from sub2api.platforms.forwarding import to_client
from sub2api.protocols.interface import StreamOptions, StreamReader, StreamState
from sub2api.protocols.sse import EventTooLarge, Frames
from sub2api.transport.messages import Response

WHOLE_REPLY_LIMIT = 64 << 20


def is_event_stream(response: Response) -> bool:
    """Whether a response is an SSE stream."""
    return b"text/event-stream" in response.fields.get(b"content-type", b"").lower()


async def relay_whole(response: Response, plan: Plan, answer: Answer, tally: Tally) -> Ending:
    """Relay a complete reply. Raises UpstreamError if it is none."""
    try:
        body = await response.read(WHOLE_REPLY_LIMIT)
    except TransportError as error:
        raise broken(error.cause, str(error)) from error
    if body.lstrip()[:1] not in {b"{", b"["}:
        raise broken("not_json", "upstream answered 200 with something that is not JSON")
    facts = plan.dialect.read_reply(body)
    if plan.operation is not Operation.COUNT_TOKENS:
        tally.saw_reply(facts.usage)
    if plan.binds:
        tally.bind(facts.response_id)
    if plan.client_model is not None:
        body = plan.dialect.restore_model(body, plan.client_model)
    if answer.state is not State.UNSENT:
        raise broken("not_a_stream", "upstream answered a stream request with a whole reply")
    answer.whole(response.status, to_client(response.headers), body)
    return Ending(response.status)


class StreamRelay:
    """Relays one event stream. `run` returns how it ended, once the client has its end too."""

    def __init__(self, response: Response, plan: Plan, answer: Answer, tally: Tally) -> None:
        self._response = response
        self._plan = plan
        self._answer = answer
        self._tally = tally
        self._frames = Frames(plan.max_event)
        self._held = b""
        self._answered = False
        self._broke = ""
        self._reader: StreamReader = plan.dialect.open_stream(
            StreamOptions(
                client_model=plan.client_model,
                upstream_model=plan.upstream_model,
                drop_usage=plan.drop_usage,
            )
        )
        self._facts = self._reader.facts
        self._usage: Usage | None = None
        self._binds = plan.binds

    @property
    def finished(self) -> bool:
        """Whether the vendor's terminal event was seen."""
        return self._reader.facts.state is StreamState.FINISHED

    async def first(self, clock: Clock, patience: float) -> bool:
        """Read until the first event that is more than a comment, and relay it.

        `patience` is in seconds, 0 for no limit. Returns False when the stream ended before. Raises
        UpstreamError when the attempt failed: the bytes broke off or did not come in time, or the
        first event is the vendor's error.
        """
        deadline = clock.monotonic() + patience if patience else 0.0
        try:
            while not self._answered:
                began = clock.monotonic()
                if deadline and began >= deadline:
                    raise broken("first_byte_timeout")
                self._response.idle = deadline - began if deadline else 0.0
                data = await self._response.chunk()
                self._answer.waited_upstream += clock.monotonic() - began
                if not data:
                    return False
                await self._first_block(self._frames.feed(data), clock)
        except (TransportError, EventTooLarge) as error:
            cause = _cause(error)
            late = deadline and cause == "idle_timeout"
            raise broken("first_byte_timeout" if late else cause, str(error)) from error
        return True

    async def run(self) -> Ending:
        """Relay the rest. Failures are told to the client inside the stream, never raised."""
        facts = self._reader.facts
        try:
            while await self._response.flow(self._pass):
                await self._answer.ready()
            await self._rest()
        except (TransportError, EventTooLarge) as error:
            if facts.state is StreamState.OPEN:
                return await self._break_off(_cause(error))
        if facts.state is StreamState.OPEN:
            return await self._break_off("truncated")
        await self._answer.end()
        failed = facts.state is StreamState.FAILED
        return Ending(self._answer.status, error="upstream_error_event" if failed else "")

    async def _first_block(self, block: bytes, clock: Clock) -> None:
        """Hold comments back until the first real event, so that its error can still fail over."""
        self._held += block
        if b"data:" not in self._held:
            return
        shown = self._read(self._held)
        if self._reader.facts.state is StreamState.FAILED:
            raise error_event(self._reader.facts.error, self._plan.platform, clock.now())
        self._held = b""
        self._answered = True
        self._answer.begin(self._response.status, to_client(self._response.headers))
        await self._answer.write(shown)

    def _pass(self, data: bytes) -> bool:
        """Relay what is complete; False when the client is behind."""
        block = self._frames.feed(data)
        return not block or self._answer.push(self._read(block))

    def _read(self, block: bytes) -> bytes:
        shown = self._reader.feed(block)
        facts, tally = self._facts, self._tally
        if facts.produced:
            tally.produced_bytes += len(block)
            tally.produced_events += block.count(b"data:")
            if not tally.produced:
                tally.begins()
        if facts.usage is not self._usage:
            self._usage = facts.usage
            tally.saw(facts.usage)
        if self._binds and facts.response_id:
            tally.bind(facts.response_id)
        return shown

    def failure(self, now: float) -> UpstreamError | None:
        """Return what went wrong after the reply had begun, None if nothing did.

        It is no reason to ask another account any more; the account's health should hear of it.
        `now` is in seconds since 1970.
        """
        if self._broke:
            return broken(self._broke)
        if self._facts.state is StreamState.FAILED:
            return error_event(self._facts.error, self._plan.platform, now)
        return None

    async def _rest(self) -> None:
        """Relay an unterminated last event if it completes the stream; drop it otherwise."""
        rest = self._frames.rest()
        if not rest:
            return
        before = self._reader.facts.state
        shown = self._read(rest + b"\n\n")
        if before is not StreamState.OPEN or self._reader.facts.state is not StreamState.OPEN:
            await self._answer.write(rest if shown == rest + b"\n\n" else shown)

    async def _break_off(self, cause: str) -> Ending:
        self._broke = cause
        error = ClientError(break_text(cause), status=502, kind=UPSTREAM)
        await self._answer.refuse(error)
        return Ending(self._answer.status, error=cause, truncated=True)


def _cause(error: Exception) -> str:
    return error.cause if isinstance(error, TransportError) else "too_large"
