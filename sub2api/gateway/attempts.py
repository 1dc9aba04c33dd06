"""Try accounts until one answers. Once the reply is answered there is no way back."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import NoReturn

from sub2api.errors import Next, TransportError, UpstreamError
from sub2api.gateway.admission import Admitted, another
from sub2api.gateway.answer import State, status_for
from sub2api.gateway.failures import broken
from sub2api.gateway.legs import Leg
from sub2api.gateway.metering import Ending
from sub2api.gateway.parts import Parts
from sub2api.gateway.preparation import leg_of
from sub2api.gateway.relay import StreamRelay, is_event_stream, relay_whole
from sub2api.gateway.walk import Walk
from sub2api.model.accounts import Account
from sub2api.model.routes import Operation
from sub2api.platforms import BY_NAME, error_rules
from sub2api.platforms.account_rules import with_account_rules
from sub2api.platforms.forwarding import to_client
from sub2api.transport.messages import Response
from sub2api.upstream.catalogue import Candidate

log = logging.getLogger(__name__)

_MOST_AGAIN = 2
"""How often one account is asked again, where its vendor's table says so."""
ERROR_BODY_LIMIT = 2 << 20
ERROR_BODY_SECONDS = 10.0


async def run(parts: Parts, walk: Walk, admitted: Admitted) -> Ending:
    """Try the account that admission has found, then whoever comes next; answer the client.

    Returns how the call ended.
    """
    candidate: Candidate | None = admitted.candidate
    failures: list[UpstreamError] = []
    asked_of: Counter[int] = Counter()
    while candidate is not None:
        account_id = candidate.account.id
        asked_of[account_id] += 1
        try:
            return await attempt(parts, walk, candidate)
        except UpstreamError as error:
            failures.append(error)
            walk.tally.failed(error)
            walk.departure.attempt_over()
            _log_failure(walk, candidate, error)
            parts.health.failed(candidate.account, candidate.upstream_model, error)
            again = error.then is Next.SAME_ACCOUNT and asked_of[account_id] <= _MOST_AGAIN
            if not _may_go_on(parts, walk, candidate, error, len(asked_of), again):
                break
            if again:
                await asyncio.sleep(error.again or 0.0)
                continue
            if admitted.binding:
                # A new session stays where it is answered, not where it was tried.
                await parts.live.unbind(admitted.binding, account_id)
        candidate = await another(parts, walk.asked, asked_of)
    return await refuse(parts, walk, failures)


def _may_go_on(
    parts: Parts, walk: Walk, candidate: Candidate, error: UpstreamError, tried: int, again: bool
) -> bool:
    """Whether the call may be sent once more: `again` to the same account, or to another."""
    settings = parts.settings.gateway
    gemini = candidate.account.platform == "gemini"
    most = settings.max_account_switches_gemini if gemini else settings.max_account_switches
    return (
        error.then is not Next.GIVE_UP
        and walk.answer.state is not State.ANSWERED
        and not walk.answer.gone
        and (again or tried <= most)
    )


async def refuse(parts: Parts, walk: Walk, failures: list[UpstreamError]) -> Ending:
    """Tell the client that nobody answered: the caller's own fault, else the hopeful truth."""
    error = failures[-1]
    platform = walk.tally.platform
    rules = parts.catalogue.snapshot.error_rules
    told = rules and error.status and error_rules.told(rules, platform, error.status, error.told)
    if told:
        await walk.answer.refuse(told)
        return Ending(status_for(told, walk.dialect.wire), error=error.cause)
    if error.answer is not None and walk.answer.state is State.UNSENT:
        status, headers, body = error.answer
        walk.answer.whole(status, to_client(headers), body)
        return Ending(status, error=error.cause)
    shown = error.shown
    if shown.status in {429, 503, 529}:
        shown.retry_after = _when_again(parts, walk, failures)
    await walk.answer.refuse(shown)
    return Ending(status_for(shown, walk.dialect.wire), error=error.cause)


def _when_again(parts: Parts, walk: Walk, failures: list[UpstreamError]) -> float | None:
    """Return the seconds until the first account is ready again, or until a vendor says so."""
    asked = walk.asked
    whom = (asked.caller, asked.platforms, asked.model)
    scheduler = parts.scheduler
    ranking = scheduler.alone(*whom, asked.only) if asked.only else scheduler.rank(*whom)
    if not ranking.candidates and ranking.earliest is not None:
        return max(1.0, ranking.earliest - parts.clock.now())
    waits = [each.shown.retry_after for each in failures if each.shown.retry_after is not None]
    return min(waits, default=None)


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
    began, sent_at = clock.monotonic(), clock.now()
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
        _note_windows(parts, account, response)
        if not 200 <= response.status < 300:
            await _judge(parts, leg, response)
        if not (plan.stream and is_event_stream(response)):
            ending = await relay_whole(response, plan, answer, walk.tally)
            _succeeded(parts, leg, sent_at)
            return ending
        relay = StreamRelay(response, plan, answer, walk.tally)
        # One deadline for the head and the first event.
        limit = leg.deadlines.first_byte
        remaining = max(0.001, limit - (clock.monotonic() - began)) if limit else 0.0
        if not await relay.first(clock, remaining):
            raise broken("empty_stream")
        _succeeded(parts, leg, sent_at, first_frame=clock.monotonic() - began)
        response.idle = leg.deadlines.idle
        ending = await relay.run()
        if (failure := relay.failure(clock.now())) is not None and not answer.gone:
            parts.health.failed(account, leg.candidate.upstream_model, failure)
        return ending
    finally:
        response.close()


def _succeeded(parts: Parts, leg: Leg, sent_at: float, first_frame: float | None = None) -> None:
    """Let the account's health know, except of counting, which proves nothing."""
    if leg.plan.operation is Operation.COUNT_TOKENS:
        return
    account, model = leg.candidate.account, leg.candidate.upstream_model
    parts.health.succeeded(account, model, sent_at)
    if first_frame is not None:
        parts.health.first_frame(account, model, first_frame)


def _note_windows(parts: Parts, account: Account, response: Response) -> None:
    windows = BY_NAME[account.platform].windows(response.fields, parts.clock.now())
    if windows:
        parts.health.note_windows(account, windows)


async def _judge(parts: Parts, leg: Leg, response: Response) -> NoReturn:
    """Raise the UpstreamError that a refusal means, by the vendor's table and the account's."""
    account, now = leg.candidate.account, parts.clock.now()
    response.idle = ERROR_BODY_SECONDS
    body = await _error_body(response)
    error = BY_NAME[account.platform].judge(response.status, response.headers, body, now)
    raise with_account_rules(error, account, response.status, body, now)


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
