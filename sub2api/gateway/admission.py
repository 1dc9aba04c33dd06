"""Who may come in: the key, then everything the call needs room in, waiting its turn.

A call waits in slices of a second: between them it is ranked anew, with the same ticket, so that an
account that has become ready is found and the place in line is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import msgspec

from sub2api.errors import StoreError
from sub2api.gateway import refusals
from sub2api.gateway.answer import Answer
from sub2api.gateway.call import Call
from sub2api.gateway.credentials import key_of
from sub2api.gateway.entries import (
    Asked,
    Line,
    budgets_in,
    entry_for,
    moving_binding,
    places_for,
    ranking_for,
    standing_of,
)
from sub2api.gateway.limit_headers import limit_headers
from sub2api.gateway.parts import Parts
from sub2api.gateway.scheduling import Ranking
from sub2api.live.interfaces import Budget, Entry, Granted, Refused, Unfilled
from sub2api.model.callers import Caller
from sub2api.upstream.catalogue import Candidate

log = logging.getLogger(__name__)

_NOBODY: tuple[int, Caller | None] = (-1, None)
_MOST_ROUNDS = 600
_NO_TIME_SECONDS = 0.5
"""Rounds without an end that take no time would mean that live state contradicts itself."""


async def caller_of(parts: Parts, call: Call) -> Caller:
    """Return who calls. Raises ClientError 401 or 403; reaches no upstream.

    Keys fail closed: a store that cannot be asked means no entry for keys not yet known.
    """
    desk = parts.key_desk
    generation, caller = call.memo.get("caller", _NOBODY)
    if generation != desk.generation:
        generation = desk.generation
        caller = await desk.caller_of(key_of(call))
        if caller is not None:
            call.memo["caller"] = (generation, caller)
    return desk.check(caller, now=parts.clock.now(), client_ip=call.client_ip)


class Admitted(msgspec.Struct, frozen=True):
    """A call that is in. `granted.waited` is the whole wait in seconds.

    `binding` is the name of the session's binding if this call made it, else "".
    """

    candidate: Candidate
    granted: Granted
    binding: str = ""


async def enter(parts: Parts, asked: Asked, answer: Answer) -> Admitted:
    """Take the call's places, waiting its turn.

    `answer` learns how long it waits, and what a refusal says of the caller's limits. Raises
    ClientError: 429 or 402 for a limit, 429, 503 or 529 when no account can take the call.
    """
    clock, settings = parts.clock, parts.settings.gateway.scheduling
    began = clock.monotonic()
    line = Line(began + settings.sticky_session_wait_timeout)
    side = parts.places.of_caller(asked.caller)
    rounds = 0
    while rounds < _MOST_ROUNDS:
        ranking = ranking_for(parts, asked, line)
        if not ranking.candidates:
            raise refusals.nobody(parts, asked)
        entry = entry_for(parts, asked, side, ranking, line)
        asked_at = clock.monotonic()
        decision = await parts.live.enter(entry)
        if isinstance(decision, Granted):
            if line.ticket:
                waited = answer.queued = clock.monotonic() - began
                decision = msgspec.structs.replace(decision, waited=waited)
            admitted = await _let_in(parts, asked, entry, ranking, decision)
            if admitted is not None:
                return admitted
        elif isinstance(decision, Unfilled):
            line.unknown |= await _fill(parts, budgets_in(entry), decision)
        elif isinstance(decision, Refused):
            answer.queued = clock.monotonic() - began if line.ticket else 0.0
            answer.limits = limit_headers(decision)
            _refused(entry, decision, line)
        rounds += clock.monotonic() - asked_at < _NO_TIME_SECONDS
    raise refusals.busy(Refused("account:0"))


async def another(parts: Parts, asked: Asked, tried: Collection[int]) -> Candidate | None:
    """Move the call to the best account not tried yet, without waiting; None if there is none."""
    if asked.only:
        return None
    unknown: frozenset[str] = frozenset()
    for _ in range(3):
        ranking = parts.scheduler.rank(asked.caller, asked.platforms, asked.model, skip=tried)
        if not ranking.candidates:
            return None
        places = places_for(parts, asked, ranking, unknown)
        decision = await parts.live.swap(asked.call_id, places, moving_binding(parts, asked))
        if isinstance(decision, Granted):
            return ranking.candidates[decision.candidate]
        if isinstance(decision, Refused):
            return None
        asked_about = [budget for place in places for budget in place.budgets]
        unknown |= await _fill(parts, asked_about, decision)
    return None


async def _let_in(
    parts: Parts, asked: Asked, entry: Entry, ranking: Ranking, granted: Granted
) -> Admitted | None:
    """Return what a call that is in goes to; None if it has to ask again.

    Who waited was let in by who left, maybe because the account rests now: then it would be the
    next to be refused there, and the whole line after it.
    """
    chosen = ranking.candidates[granted.candidate]
    made = entry.sticky.name if entry.sticky is not None and not entry.sticky.expected else ""
    if not granted.waited or _still_serves(parts, asked, chosen.account.id):
        return Admitted(chosen, granted, made)
    if made:
        await parts.live.unbind(made, chosen.account.id)
    instead = await another(parts, asked, {chosen.account.id})
    if instead is not None:
        return Admitted(instead, granted, made)
    await parts.live.leave(asked.call_id, tokens=0)
    return None


def _still_serves(parts: Parts, asked: Asked, account_id: int) -> bool:
    """Whether an account that a call has waited for may be asked now."""
    standing = standing_of(parts, asked, account_id)
    if standing != "not reached":
        return standing in {"usable", "slow"}
    # A model route that leads elsewhere is no reason to turn back; being out of the group is.
    having = parts.catalogue.having(asked.caller, asked.platforms, asked.model)
    return any(each.account.id == account_id for each in having)


def _refused(entry: Entry, decision: Refused, line: Line) -> None:
    """Decide what to ask for next. Raises ClientError when there is nothing more to ask for."""
    if refusals.is_limit_of_caller(decision):
        raise refusals.limit(decision)
    sent_away = decision.queue_full or not decision.ticket
    line.ticket = decision.ticket
    if line.one:
        line.overflows = sent_away
    elif line.may_be_others(entry):
        if decision.retry_after is None:
            line.looked = True  # full ones are ranked last: so are all the others
        else:
            line.skip |= {place.account_id for place in entry.candidates}
    elif sent_away:
        # One that asked to wait no more was not kept from it by a full line.
        queue_full = decision.queue_full and entry.wait > 0
        raise refusals.busy(msgspec.structs.replace(decision, queue_full=queue_full))


async def _fill(parts: Parts, budgets: Sequence[Budget], unfilled: Unfilled) -> frozenset[str]:
    """Tell live state what the store knows of them; return the names of which it cannot be told.

    Limits fail open: calls go on while the store is away, and it counts them when it is back.
    """
    missing = {each for each in budgets if each.name in unfilled.names}
    try:
        await parts.budgets.fill(parts.live, missing)
    except StoreError as error:
        log.warning("limits on costs are not known", extra={"detail": str(error)})
        return frozenset(unfilled.names)
    return frozenset()
