"""Try accounts until one answers. Once the reply is answered there is no way back."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import NoReturn

from sub2api.errors import Next, TransportError, UpstreamError
from sub2api.gateway.admission import another
from sub2api.gateway.answer import State, status_for
from sub2api.gateway.metering import Ending
from sub2api.gateway.parts import Parts
from sub2api.gateway.relay import Plan, StreamRelay, broken, is_event_stream, relay_whole
from sub2api.gateway.walk import Walk
from sub2api.model.accounts import DisconnectPolicy
from sub2api.model.routes import Operation, Wire
from sub2api.platforms import BY_NAME
from sub2api.platforms.forwarding import to_client
from sub2api.platforms.interface import Outgoing
from sub2api.transport.messages import Deadlines, Request, Response
from sub2api.upstream.catalogue import Candidate

log = logging.getLogger(__name__)

ERROR_BODY_LIMIT = 2 << 20
ERROR_BODY_SECONDS = 10.0
_deadlines = lru_cache(16)(Deadlines)


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
        await walk.answer.whole(status, to_client(headers), body)
        return Ending(status, error=error.cause)
    shown = error.shown
    waits = [each.shown.retry_after for each in failures if each.shown.retry_after is not None]
    if shown.status == 429 and waits:
        shown.retry_after = min(waits)
    await walk.answer.refuse(shown)
    return Ending(status_for(shown, walk.dialect.wire), error=error.cause)


async def attempt(parts: Parts, walk: Walk, candidate: Candidate) -> Ending:
    """Send the call to one account and relay what comes back. Raises UpstreamError on failure."""
    proxy = candidate.account.proxy
    if proxy is not None and proxy.status != "active":
        # Disabled, or its password cannot be opened: never around it.
        raise broken("proxy", "the account's proxy is disabled")
    request = BY_NAME[candidate.account.platform].request(
        _outgoing(walk, candidate), candidate.account
    )
    walk.tally.opened(candidate)
    parts.catalogue.used(candidate.account)
    walk.departure.calling_upstream(policy_of(parts, candidate))
    try:
        return await _exchange(parts, walk, candidate, request)
    except TransportError as error:
        raise broken(error.cause, str(error)) from error


async def _exchange(parts: Parts, walk: Walk, candidate: Candidate, request: Request) -> Ending:
    settings = parts.settings.gateway
    streams = walk.peek.stream
    limit = settings.first_byte_timeout_stream if streams else settings.first_byte_timeout
    clock, answer = parts.clock, walk.answer
    began = clock.monotonic()
    response = await parts.pool.send(
        request,
        lane=candidate.account.id,
        limit=settings.max_conns_per_account,
        proxy=candidate.account.proxy,
        deadlines=_deadlines(settings.connect_timeout, limit, settings.idle_timeout),
    )
    try:
        answer.waited_upstream += clock.monotonic() - began
        if not 200 <= response.status < 300:
            await _judge(walk, candidate, response)
        walk.tally.upstream_request_id = _upstream_id(response)
        plan = _plan(parts, walk, candidate)
        if not (streams and is_event_stream(response)):
            return await relay_whole(response, plan, answer, walk.tally)
        relay = StreamRelay(response, plan, answer, walk.tally)
        # One deadline for the head and the first event.
        remaining = max(0.001, limit - (clock.monotonic() - began)) if limit else 0.0
        if not await relay.first(clock, remaining):
            raise broken("empty_stream")
        response.idle = settings.idle_timeout
        return await relay.run()
    finally:
        response.close()


async def _judge(walk: Walk, candidate: Candidate, response: Response) -> NoReturn:
    """Raise the UpstreamError that a refusal means."""
    walk.tally.upstream_request_id = _upstream_id(response)
    response.idle = ERROR_BODY_SECONDS
    body = await _error_body(response)
    raise BY_NAME[candidate.account.platform].judge(response.status, response.headers, body)


def policy_of(parts: Parts, candidate: Candidate) -> DisconnectPolicy:
    """Return the disconnect policy of a call: its group's, else the setting's."""
    group = candidate.group
    return (group.disconnect if group else None) or parts.settings.gateway.disconnect


def _outgoing(walk: Walk, candidate: Candidate) -> Outgoing:
    match, peek, body = walk.call.match, walk.peek, walk.body
    if candidate.upstream_model != peek.model and match.wire is not Wire.GEMINI:
        body = walk.dialect.rename_model(body, candidate.upstream_model)
    return Outgoing(
        wire=match.wire,
        operation=match.operation,
        method=walk.call.method,
        tail=match.tail,
        version=match.version,
        model=candidate.upstream_model,
        action=match.action,
        query=walk.call.query,
        headers=walk.call.headers,
        memo=walk.call.memo,
        body=body,
        stream=peek.stream,
        wants_usage=peek.wants_usage,
    )


def _plan(parts: Parts, walk: Walk, candidate: Candidate) -> Plan:
    peek = walk.peek
    renamed = candidate.upstream_model != peek.model
    return Plan(
        dialect=walk.dialect,
        operation=walk.call.match.operation,
        stream=peek.stream,
        client_model=peek.model if renamed else None,
        upstream_model=candidate.upstream_model,
        drop_usage=not peek.wants_usage,
        max_event=parts.settings.gateway.max_event_size,
        binds=walk.dialect.wire is Wire.RESPONSES
        and walk.call.match.operation is Operation.GENERATE
        and peek.stores,
    )


async def _error_body(response: Response) -> bytes:
    try:
        return await response.read(ERROR_BODY_LIMIT)
    except TransportError:
        return b""  # the status alone is enough to judge by


def _upstream_id(response: Response) -> str:
    for name, value in response.headers:
        if name in {b"request-id", b"x-request-id"}:
            return value.decode("latin-1").strip()[:128]
    return ""


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
