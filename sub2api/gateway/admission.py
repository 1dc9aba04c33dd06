"""Who may come in: the key, then everything the call needs room in, waiting its turn.

A call waits in slices of a second: between them it is ranked anew, with the same ticket, so that an
account that has become ready is found and the place in line is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec

from sub2api.errors import StoreError
from sub2api.gateway import refusals
from sub2api.gateway.answer import Answer
from sub2api.gateway.call import Call
from sub2api.gateway.credentials import key_of
from sub2api.gateway.limit_headers import limit_headers
from sub2api.gateway.parts import Parts
from sub2api.gateway.places import CallerSide
from sub2api.gateway.scheduling import MOST_CANDIDATES, Ranking
from sub2api.live.interfaces import Budget, Entry, Granted, Place, Refused, Sticky, Unfilled
from sub2api.model.accounts import PlatformName
from sub2api.model.callers import Caller
from sub2api.upstream.catalogue import Candidate
from sub2api.upstream.model_mapping import mapped_model

log = logging.getLogger(__name__)

_NOBODY: tuple[int, Caller | None] = (-1, None)
_SLICE_SECONDS = 1.0
_SHORT_REST_SECONDS = 60.0
"""A session whose account rests no longer than this comes back to it: its cache is there."""
_MOST_ROUNDS = 600
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


class Asked(msgspec.Struct, frozen=True):
    """What a call asks admission for.

    `tokens` is an estimate of all it may use. `session` is its conversation's name, "" for none.
    `only` is the one account that can honour it (a hard binding), 0 for any.
    """

    call_id: str
    caller: Caller
    platforms: tuple[PlatformName, ...]
    model: str
    tokens: int
    session: str = ""
    only: int = 0


@dataclass(slots=True)
class _Line:
    """A call's standing in line, from one asking to the next. Times are `Clock.monotonic()`.

    Until `sticky_ends` it waits for its session's own account (`one`: it has just asked for that
    alone); `overflows` once others will do, until `ends`. `skip` are accounts whose windows are
    full, while others are looked at; `looked` once there are no others. `unknown` are budgets of
    which the store could not tell: they do not count for this call.
    """

    sticky_ends: float
    ends: float = 0.0
    ticket: int = 0
    binding: str = ""
    one: bool = False
    overflows: bool = False
    skip: set[int] = field(default_factory=set)
    looked: bool = False
    unknown: set[str] = field(default_factory=set)


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
    line = _Line(began + settings.sticky_session_wait_timeout)
    side = parts.places.of_caller(asked.caller)
    rounds = 0
    while rounds < _MOST_ROUNDS:
        ranking = _ranking(parts, asked, line)
        entry = _entry(parts, asked, side, ranking, line)
        asked_at = clock.monotonic()
        decision = await parts.live.enter(entry)
        answer.queued = clock.monotonic() - began if line.ticket else 0.0
        if isinstance(decision, Granted):
            waited = answer.queued or decision.waited
            decision = msgspec.structs.replace(decision, waited=waited)
            admitted = await _let_in(parts, asked, entry, ranking, decision)
            if admitted is not None:
                return admitted
        elif isinstance(decision, Unfilled):
            line.unknown |= await _fill(parts, _budgets(entry), decision)
        elif isinstance(decision, Refused):
            answer.limits = limit_headers(decision)
            _refused(entry, decision, line)
        rounds += clock.monotonic() - asked_at < _SLICE_SECONDS / 2
    raise refusals.busy(Refused("account:0"))


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
    standing = _standing(parts, asked, account_id)
    if standing != "not reached":
        return standing in {"usable", "slow"}
    # A model route that leads elsewhere is no reason to turn back; being out of the group is.
    having = parts.catalogue.having(asked.caller, asked.platforms, asked.model)
    return any(each.account.id == account_id for each in having)


def _refused(entry: Entry, decision: Refused, line: _Line) -> None:
    """Decide what to ask for next. Raises ClientError when there is nothing more to ask for."""
    if refusals.is_limit_of_caller(decision):
        raise refusals.limit(decision)
    sent_away = decision.queue_full or not decision.ticket
    line.ticket = decision.ticket
    if line.one:
        line.overflows = sent_away
    elif _may_be_others(entry, line):
        if decision.retry_after is None:
            line.looked = True  # full ones are ranked last: so are all the others
        else:
            line.skip.update(place.account_id for place in entry.candidates)
    elif sent_away:
        # One that asked to wait no more was not kept from it by a full line.
        queue_full = decision.queue_full and entry.wait > 0
        raise refusals.busy(msgspec.structs.replace(decision, queue_full=queue_full))


def _may_be_others(entry: Entry, line: _Line) -> bool:
    """Whether there may be accounts with room that the ranking has cut off."""
    return len(entry.candidates) >= MOST_CANDIDATES and not line.looked


async def another(parts: Parts, asked: Asked, tried: Collection[int]) -> Candidate | None:
    """Move the call to the best account not tried yet, without waiting; None if there is none."""
    if asked.only:
        return None
    unknown: set[str] = set()
    for _ in range(3):
        ranking = parts.scheduler.rank(asked.caller, asked.platforms, asked.model, skip=tried)
        if not ranking.candidates:
            return None
        places = _places(parts, asked, ranking, unknown)
        sticky = _sticky(parts, asked, _binding(parts, asked)) if asked.session else None
        decision = await parts.live.swap(asked.call_id, places, sticky)
        if isinstance(decision, Granted):
            return ranking.candidates[decision.candidate]
        if isinstance(decision, Refused):
            return None
        unknown |= await _fill(parts, [b for place in places for b in place.budgets], decision)
    return None


def _ranking(parts: Parts, asked: Asked, line: _Line) -> Ranking:
    """Rank the accounts for this round. Raises ClientError when none is usable now."""
    scheduler, whom = parts.scheduler, (asked.caller, asked.platforms, asked.model)
    if asked.only:
        ranking = scheduler.alone(*whom, asked.only)
    else:
        bound = 0
        if asked.session:
            line.binding = _binding(parts, asked)
            bound = 0 if line.overflows else parts.live.bound(line.binding)
        ranking = scheduler.rank(*whom, bound=bound, skip=line.skip)
        if not ranking.candidates and line.skip:
            line.skip.clear()
            line.looked = True
            ranking = scheduler.rank(*whom, bound=bound)
    if not ranking.candidates:
        raise refusals.nobody(parts, asked)
    return ranking


def _binding(parts: Parts, asked: Asked) -> str:
    """Return the name of the session's binding.

    An account that lacks the model leaves the session's binding as it is: the model gets one of
    its own, so that a session of two models does not move to and fro.
    """
    bound = parts.live.bound(asked.session)
    if bound and _standing(parts, asked, bound) == "lacks model":
        return f"{asked.session}:{asked.model[:64]}"
    return asked.session


def _standing(parts: Parts, asked: Asked, account_id: int) -> str:
    return parts.scheduler.standing(asked.caller, asked.platforms, asked.model, account_id)


def _entry(parts: Parts, asked: Asked, side: CallerSide, ranking: Ranking, line: _Line) -> Entry:
    """Ask for one slice of the wait: for the session's own account alone, as long as that is due.

    Such an entry does not wait like others (`wait` 0): if too many do already, it is refused at
    once, and the call goes elsewhere.
    """
    now = parts.clock.monotonic()
    settings = parts.settings.gateway.scheduling
    places = _places(parts, asked, ranking, line.unknown)
    sticky, wait = None, 0.0
    line.one = ranking.bound and bool(line.binding)
    if line.one:
        patience = max(0.0, min(_SLICE_SECONDS, line.sticky_ends - now))
        sticky = _sticky(parts, asked, line.binding, patience)
        places = places[:1]
    else:
        if line.binding:
            sticky = _sticky(parts, asked, line.binding)
        if len(places) < MOST_CANDIDATES or line.looked:
            line.ends = line.ends or now + settings.fallback_wait_timeout
            wait = max(0.0, min(_SLICE_SECONDS, line.ends - now))
    return Entry(
        call_id=asked.call_id,
        user=asked.caller.user.id,
        key=asked.caller.key.id,
        slots=side.slots,
        windows=parts.places.windows_of(side, asked.tokens) if side.limited else (),
        budgets=_known(parts.places.budgets_of(side), line.unknown) if side.limited else (),
        candidates=places,
        sticky=sticky,
        session=asked.session,
        wait=wait,
        max_waiting=settings.fallback_max_waiting,
        ticket=line.ticket,
    )


def _places(
    parts: Parts, asked: Asked, ranking: Ranking, unknown: Collection[str]
) -> tuple[Place, ...]:
    place, tokens = parts.places.place, asked.tokens
    candidates = ranking.candidates
    if len(candidates) == 1:
        places: tuple[Place, ...] = (place(candidates[0], tokens, bound=ranking.bound),)
    else:
        places = tuple(
            [
                place(each, tokens, bound=ranking.bound and index == 0)
                for index, each in enumerate(candidates)
            ]
        )
    if unknown:
        known = [_known(each.budgets, unknown) for each in places]
        places = tuple(map(_with_budgets, places, known))
    return places


def _known(budgets: tuple[Budget, ...], unknown: Collection[str]) -> tuple[Budget, ...]:
    if not unknown:
        return budgets
    return tuple(each for each in budgets if each.name not in unknown)


def _with_budgets(place: Place, budgets: tuple[Budget, ...]) -> Place:
    return msgspec.structs.replace(place, budgets=budgets)


def _sticky(parts: Parts, asked: Asked, name: str, patience: float = -1.0) -> Sticky:
    """Return the session's binding; with `patience` its account is waited for so many seconds."""
    settings = parts.settings.gateway.scheduling
    expected = parts.live.bound(name)
    void = bool(expected) and _is_void(parts, asked, expected)
    return Sticky(
        name=name,
        expected=expected,
        unusable=frozenset((expected,)) if void else frozenset(),
        ttl=settings.sticky_session_ttl,
        wait=max(0.0, patience),
        max_waiting=settings.sticky_session_max_waiting if patience >= 0 else 0,
    )


def _is_void(parts: Parts, asked: Asked, account_id: int) -> bool:
    """Whether a binding to this account has to move: it cannot be used, or not soon."""
    standing = _standing(parts, asked, account_id)
    account = parts.catalogue.snapshot.accounts.get(account_id)
    if standing != "resting" or account is None:
        return standing in {"slow", "not reached", "out of use"}
    now = parts.clock.now()
    upstream_model = mapped_model(account.model_mapping, asked.model) or asked.model
    rest = parts.health.rest_of(account, upstream_model, now)
    return rest is not None and rest.until - now > _SHORT_REST_SECONDS


def _budgets(entry: Entry) -> list[Budget]:
    return [*entry.budgets, *(each for place in entry.candidates for each in place.budgets)]


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
