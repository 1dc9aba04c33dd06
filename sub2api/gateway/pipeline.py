"""The walk of one call, from the client's request to its settlement. Start reading here.

Every front door makes a `Call` and a `Reply` and calls `serve`. Exactly one reply is written,
whatever happens; exactly one close record, if the call was admitted.
"""

from __future__ import annotations

import asyncio
import logging

from sub2api.errors import INTERNAL, ClientError
from sub2api.gateway import admission, attempts, estimates, models, usage_report
from sub2api.gateway.admission import Admitted
from sub2api.gateway.answer import Answer, State, status_for
from sub2api.gateway.bindings import Bindings
from sub2api.gateway.bodies import LARGE, decoded, outline
from sub2api.gateway.call import Call, Reply
from sub2api.gateway.call_log import NAME, CallRecord, shown
from sub2api.gateway.credentials import key_of
from sub2api.gateway.departure import Departure
from sub2api.gateway.entries import Asked
from sub2api.gateway.limit_headers import limit_headers
from sub2api.gateway.metering import Ending, Tally
from sub2api.gateway.parts import Parts
from sub2api.gateway.sessions import session_of
from sub2api.gateway.walk import Walk
from sub2api.model.callers import Caller
from sub2api.model.routes import Operation
from sub2api.model.usage import SettledBy
from sub2api.platforms import names_serving
from sub2api.protocols.dialects import DIALECTS
from sub2api.protocols.interface import Peek

log = logging.getLogger(__name__)
calls_log = logging.getLogger(NAME)

_LIKELY_OUTPUT = 1024
"""Tokens a call is taken to write until it has; its own limit counts if that is lower."""
CLIENT_LEFT = 499
"""The status of a row whose client left first; nobody receives it."""


class Pipeline:
    """Serves calls. One per process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._bindings = Bindings(parts)
        self._models = models.ModelLists(parts)

    @property
    def parts(self) -> Parts:
        """The running parts."""
        return self._parts

    def knows_key(self, call: Call) -> bool:
        """Whether a call's key is known to exist without asking the store."""
        return self._parts.key_desk.knows(key_of(call))

    async def check_key(self, call: Call) -> None:
        """Raise ClientError if the call's key is refused; asked before a large body is read."""
        await admission.caller_of(self._parts, call)

    async def serve(self, call: Call, reply: Reply) -> None:
        """Answer one call. Never raises, except for a cancellation that is not the client's."""
        answer = Answer(call, reply, DIALECTS[call.match.wire], self._parts.clock)
        departure = Departure(call, reply, self._parts)
        error = ""
        try:
            await self._serve(call, answer, departure)
        except ClientError as refusal:
            error = str(refusal)
            await answer.refuse(refusal)
        except asyncio.CancelledError:
            error = "client left" if departure.stopped else "cancelled"
            answer.abort()
            if not departure.stopped:
                raise
            departure.absorb()
        except Exception:
            error = "internal error"
            log.exception("call failed", extra={"call": call.id})
            await self._apologise(answer)
        finally:
            departure.close()
            answer.stop()
            if answer.entered:
                await self._leave(call, answer)
            self._measure(call, answer)
            if calls_log.isEnabledFor(logging.INFO):
                self._log(call, answer, error)

    async def _serve(self, call: Call, answer: Answer, departure: Departure) -> None:
        caller = await admission.caller_of(self._parts, call)
        operation = call.match.operation
        if operation is Operation.MODELS:
            await self._models.answer(call, caller, answer)
        elif operation is Operation.USAGE:
            await usage_report.answer(self._parts, caller, answer)
        else:
            await self._forward(call, caller, answer, departure)

    async def _forward(
        self, call: Call, caller: Caller, answer: Answer, departure: Departure
    ) -> None:
        match, body = call.match, call.body
        if b"content-encoding" in call.fields:
            limit = self._parts.settings.server.max_request_body_size
            body = decoded(body, call.header(b"content-encoding"), limit)
        said = body if len(body) <= LARGE else await outline(body)
        peek = answer.dialect.peek(said, match.operation, match.model)
        if match.action == "streamGenerateContent":
            peek = _streaming(peek)
        asked = await self._asked(call, caller, peek, said)
        counts = match.operation is Operation.COUNT_TOKENS
        tally = Tally(self._parts, call, caller, peek, records=not counts)
        walk = Walk(call, body, caller, peek, answer.dialect, answer, departure, tally, asked)
        if counts:
            # Clients count in bursts of 25: that takes no place a generation could have.
            await estimates.count(self._parts, walk)
            return
        if peek.stream:
            answer.keep_alive(self._parts.settings.gateway.keepalive_seconds)
        answer.entered = True
        admitted = await admission.enter(self._parts, asked, answer)
        if admitted.granted.waited:
            await admission.caller_of(self._parts, call)  # its key may have been revoked meanwhile
        answer.queued = admitted.granted.waited
        answer.limits = limit_headers(admitted.granted)
        await self._settled(walk, admitted)

    async def _asked(self, call: Call, caller: Caller, peek: Peek, body: bytes) -> Asked:
        """Say what the call asks admission for. Raises ClientError 400 for a lost binding."""
        catalogue, match = self._parts.catalogue, call.match
        platforms = names_serving(match.wire)
        having = catalogue.having(caller, platforms, peek.model)
        only, session = 0, ""
        if peek.bound_ids:
            only = await self._bindings.account_for(caller, peek.bound_ids, having)
        elif len(having) > 1 or (having and having[0].account.max_sessions):
            session = session_of(call, body, DIALECTS[match.wire], key_id=caller.key.id)
        tokens = len(call.body) // 4 + min(peek.max_output or _LIKELY_OUTPUT, _LIKELY_OUTPUT)
        return Asked(call.id, caller, platforms, peek.model, tokens, session, only)

    async def _leave(self, call: Call, answer: Answer) -> None:
        """Give back the call's places, and book what it used."""
        used = answer.used
        if used is None:
            await self._parts.live.leave(call.id)
            return
        await self._parts.live.leave(
            call.id, tokens=used.tokens, cost=used.cost, list_cost=used.list_cost
        )

    async def _settled(self, walk: Walk, admitted: Admitted) -> None:
        """Run the attempts and settle, whichever way they end."""
        ending = Ending(500, error="internal_error")
        try:
            ending = await attempts.run(self._parts, walk, admitted)
            if walk.answer.gone:
                walk.tally.client_left = True
                ending = Ending(CLIENT_LEFT, "client_left", ending.truncated, ending.settled_by)
        except ClientError as refusal:
            ending = Ending(status_for(refusal, walk.dialect.wire), error="refused")
            raise
        except asyncio.CancelledError:
            ending = _left(walk) if walk.departure.stopped else Ending(503, "shutdown", True)
            raise
        finally:
            if walk.tally.bindings:
                self._note_bindings(walk)
            walk.tally.settle(ending)
            walk.answer.used = walk.tally.used
            walk.answer.platform = walk.tally.platform
            walk.answer.first_token = walk.tally.first_token_after

    def _measure(self, call: Call, answer: Answer) -> None:
        """Count the call; what it took is known of calls that reached an account."""
        status = answer.status or CLIENT_LEFT
        seconds = (answer.overhead, answer.queued, answer.first_token)
        self._parts.metrics.served(call.match.wire, answer.platform, status, seconds)

    def _note_bindings(self, walk: Walk) -> None:
        for binding in walk.tally.bindings:
            self._bindings.note(binding.key_id, binding.bound_id, binding.account_id)

    async def _apologise(self, answer: Answer) -> None:
        if answer.state is State.ANSWERED:
            answer.abort()
            return
        message = "The gateway failed. The request id leads to the cause in its log."
        await answer.refuse(ClientError(message, status=500, kind=INTERNAL))

    def _log(self, call: Call, answer: Answer, error: str) -> None:
        took = round((self._parts.clock.monotonic() - call.arrived) * 1000)
        match = call.match
        line = (
            f"call call={call.id} route={shown(match.tail[:200])} wire={match.wire.value} "
            f"status={answer.status or CLIENT_LEFT} ms={took} client={call.client_ip}"
        )
        if error:
            line += f" error={shown(error[:300])}"
        calls_log.handle(CallRecord(line))


def _streaming(peek: Peek) -> Peek:
    return Peek(model=peek.model, stream=True, max_output=peek.max_output, bound_ids=peek.bound_ids)


def _left(walk: Walk) -> Ending:
    """Return the ending of a call whose client left and whose upstream was let go."""
    walk.tally.client_left = True
    if walk.departure.policy == "observed":
        return Ending(CLIENT_LEFT, "client_left", settled_by="observed")
    settled_by: SettledBy | None = "estimated" if walk.tally.produced else None
    return Ending(CLIENT_LEFT, "client_left", settled_by=settled_by)
