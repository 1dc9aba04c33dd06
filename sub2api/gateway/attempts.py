"""Try accounts until one answers. Once the reply is answered there is no way back."""

from __future__ import annotations

import logging
from typing import NoReturn

from sub2api.errors import Next, TransportError, UpstreamError
from sub2api.gateway.admission import another
from sub2api.gateway.answer import State, status_for
from sub2api.gateway.failures import broken
from sub2api.gateway.legs import Leg
from sub2api.gateway.metering import Ending
from sub2api.gateway.parts import Parts
from sub2api.gateway.preparation import leg_of
from sub2api.gateway.relay import StreamRelay, is_event_stream, relay_whole
from sub2api.gateway.walk import Walk
from sub2api.model.accounts import Account
from sub2api.platforms import BY_NAME
from sub2api.platforms.forwarding import to_client
from sub2api.transport.messages import Response
from sub2api.upstream.catalogue import Candidate

log = logging.getLogger(__name__)

ERROR_BODY_LIMIT = 2 << 20
ERROR_BODY_SECONDS = 10.0


async def run(parts: Parts, walk: Walk, ranking: list[Candidate], first: Candidate) -> Ending:
    """Try `first`, then the rest of the ranking; answer the client. Returns how the call ended."""
    candidate: Candidate | None = first
    failures: list[UpstreamError] = []
    tried: set[int] = set()
    while candidate is not None:
        tried.add(candidate.account.id)
        try:
            return await attempt(parts, walk, candidate)
        except UpstreamError as error:
            failures.append(error)
            walk.tally.failed()
            walk.departure.attempt_over()
            _log_failure(walk, candidate, error)
            if not _may_go_on(parts, walk, candidate, failures):
                break
        ranking = [each for each in ranking if each.account.id not in tried]
        candidate = await another(parts, walk.call, ranking) if ranking else None
    return await refuse(walk, failures)


def _may_go_on(
    parts: Parts, walk: Walk, candidate: Candidate, failures: list[UpstreamError]
) -> bool:
    settings = parts.settings.gateway
    gemini = candidate.account.platform == "gemini"
    most = settings.max_account_switches_gemini if gemini else settings.max_account_switches
    return (
        failures[-1].then is Next.OTHER_ACCOUNT
        and walk.answer.state is not State.ANSWERED
        and not walk.answer.gone
        and len(failures) <= most
    )


async def refuse(walk: Walk, failures: list[UpstreamError]) -> Ending:
    """Tell the client that nobody answered: the caller's own fault, else the hopeful truth."""
    error = failures[-1]
    if error.answer is not None and walk.answer.state is State.UNSENT:
        status, headers, body = error.answer
        walk.answer.whole(status, to_client(headers), body)
        return Ending(status, error=error.cause)
    shown = error.shown
    waits = [each.shown.retry_after for each in failures if each.shown.retry_after is not None]
    if shown.status == 429 and waits:
        shown.retry_after = min(waits)
    await walk.answer.refuse(shown)
    return Ending(status_for(shown, walk.dialect.wire), error=error.cause)


async def attempt(parts: Parts, walk: Walk, candidate: Candidate) -> Ending:
    """Send the call to one account and relay what comes back. Raises UpstreamError on failure."""
    leg = leg_of(parts, walk, candidate)
    body = walk.body
    for edit in leg.edits:
        body = edit(body)
    walk.tally.opened(leg)
    parts.catalogue.used(candidate.account)
    walk.departure.calling_upstream(leg.policy)
    try:
        return await _exchange(parts, walk, leg, body)
    except TransportError as error:
        raise broken(error.cause, str(error)) from error


async def _exchange(parts: Parts, walk: Walk, leg: Leg, body: bytes) -> Ending:
    clock, answer, plan, account = parts.clock, walk.answer, leg.plan, leg.candidate.account
    began = clock.monotonic()
    response = await parts.pool.exchange(
        leg.target,
        body,
        lane=account.id,
        limit=parts.settings.gateway.max_conns_per_account,
        deadlines=leg.deadlines,
    )
    try:
        answer.waited_upstream += clock.monotonic() - began
        walk.tally.upstream_request_id = _upstream_id(response)
        if not 200 <= response.status < 300:
            await _judge(account, response, clock.now())
        if not (plan.stream and is_event_stream(response)):
            return await relay_whole(response, plan, answer, walk.tally)
        relay = StreamRelay(response, plan, answer, walk.tally)
        # One deadline for the head and the first event.
        limit = leg.deadlines.first_byte
        remaining = max(0.001, limit - (clock.monotonic() - began)) if limit else 0.0
        if not await relay.first(clock, remaining):
            raise broken("empty_stream")
        response.idle = leg.deadlines.idle
        return await relay.run()
    finally:
        response.close()


async def _judge(account: Account, response: Response, now: float) -> NoReturn:
    """Raise the UpstreamError that a refusal means."""
    response.idle = ERROR_BODY_SECONDS
    body = await _error_body(response)
    raise BY_NAME[account.platform].judge(response.status, response.headers, body, now)


async def _error_body(response: Response) -> bytes:
    try:
        return await response.read(ERROR_BODY_LIMIT)
    except TransportError:
        return b""  # the status alone is enough to judge by


def _upstream_id(response: Response) -> str:
    fields = response.fields
    value = fields.get(b"request-id") or fields.get(b"x-request-id")
    return "" if value is None else value.decode("latin-1").strip()[:128]


def _log_failure(walk: Walk, candidate: Candidate, error: UpstreamError) -> None:
    log.warning(
        "attempt failed",
        extra={
            "call": walk.call.id,
            "account": candidate.account.id,
            "cause": error.cause,
            "status": error.status,
            "then": error.then.value,
            "detail": str(error)[:200],
        },
    )
