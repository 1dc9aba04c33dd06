"""Who may come in: the key, then everything the call needs room in, waiting its turn.

A call waits in slices of a second: between them it is ranked anew, with the same ticket, so that an
account that has become ready is found and the place in line is kept.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from sub2api.gateway import refusals
from sub2api.gateway.answer import Answer
from sub2api.gateway.call import Call
from sub2api.gateway.credentials import key_of
from sub2api.gateway.limit_headers import limit_headers
from sub2api.gateway.parts import Parts
from sub2api.gateway.places import CallerSide
from sub2api.gateway.scheduling import MOST_CANDIDATES, Ranking
from sub2api.live.interfaces import Entry, Granted, Place, Refused, Sticky, Unfilled
from sub2api.model.accounts import PlatformName
from sub2api.model.callers import Caller
from sub2api.upstream.catalogue import Candidate
from sub2api.upstream.model_mapping import mapped_model

_NOBODY: tuple[int, Caller | None] = (-1, None)
_SLICE_SECONDS = 1.0
_SHORT_REST_SECONDS = 60.0
"""A session whose account rests no longer than this comes back to it: its cache is there."""
_MOST_ROUNDS = 600
"""Rounds without an end would mean that live state contradicts itself."""


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
    alone); `overflows` once others will do as well, until `ends`. `bound` is the account that the
    binding named `binding` is to, as far as this process knows. `skip` are accounts whose windows
    are full, while others are looked at; `looked` once there are no others.
    """

    sticky_ends: float
    ends: float = 0.0
    ticket: int = 0
    binding: str = ""
    bound: int = 0
    one: bool = False
    overflows: bool = False
    skip: frozenset[int] = frozenset()
    looked: bool = False


class Admitted(msgspec.Struct, frozen=True):
    """A call that is in. `granted.waited` is the whole wait in seconds.

    `binding` is the name of the session's binding if this call made it, else "".
    """

    candidate: Candidate
    granted: Granted
    binding: str = ""


async def enter(parts: Parts, asked: Asked, answer: Answer) -> Admitted:
    """Take the call's places, waiting its turn.

    `answer` learns what a refusal says of the caller's limits. Raises ClientError: 429 or 402 for a
    limit, 429, 503 or 529 when no account can take the call.
    """
    settings = parts.settings.gateway.scheduling
    began = parts.clock.monotonic()
    line = _Line(began + settings.sticky_session_wait_timeout)
    side = parts.places.of_caller(asked.caller)
    for _ in range(_MOST_ROUNDS):
        ranking = _ranking(parts, asked, line)
        entry = _entry(parts, asked, side, ranking, line)
        decision = await parts.live.enter(entry)
        if isinstance(decision, Granted):
            if line.ticket:
                waited = parts.clock.monotonic() - began
                decision = msgspec.structs.replace(decision, waited=waited)
            made = line.binding if entry.sticky is not None and not entry.sticky.expected else ""
            return Admitted(ranking.candidates[decision.candidate], decision, made)
        if isinstance(decision, Unfilled):
            await _fill(parts, entry, decision)
        elif isinstance(decision, Refused):
            answer.limits = limit_headers(decision)
            _refused(entry, decision, line)
    raise refusals.busy(Refused("account:0"))


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
            line.skip |= {place.account_id for place in entry.candidates}
    elif sent_away:
        raise refusals.busy(decision)


def _may_be_others(entry: Entry, line: _Line) -> bool:
    """Whether there may be accounts with room that the ranking has cut off."""
    return len(entry.candidates) >= MOST_CANDIDATES and not line.looked


async def another(parts: Parts, asked: Asked, tried: Collection[int]) -> Candidate | None:
    """Move the call to the best account not tried yet, without waiting; None if there is none."""
    if asked.only:
        return None
    for _ in range(3):
        ranking = parts.scheduler.rank(asked.caller, asked.platforms, asked.model, skip=tried)
        if not ranking.candidates:
            return None
        places = _places(parts, asked, ranking)
        decision = await parts.live.swap(asked.call_id, places, _moving(parts, asked))
        if isinstance(decision, Granted):
            return ranking.candidates[decision.candidate]
        if isinstance(decision, Refused):
            return None
        await parts.budgets.fill(
            parts.live,
            {each for place in places for each in place.budgets if each.name in decision.names},
        )
    return None


def _moving(parts: Parts, asked: Asked) -> Sticky | None:
    """Return the session's binding as a call that moves on sees it: void if it has to move too."""
    if not asked.session:
        return None
    name = _binding(parts, asked)
    bound = _bound(parts, name)
    void = bound != 0 and _is_void(parts, asked, bound)
    ttl = parts.settings.gateway.scheduling.sticky_session_ttl
    return Sticky(name, bound, _only_if(void, bound), ttl)


def _ranking(parts: Parts, asked: Asked, line: _Line) -> Ranking:
    """Rank the accounts for this round. Raises ClientError when none is usable now.

    An account that lacks the model leaves the session's binding as it is: the model gets one of
    its own, so that a session of two models does not move to and fro.
    """
    line.binding = asked.session
    line.bound = asked.only or _bound(parts, asked.session)
    ranking = _ranked(parts, asked, line)
    if line.bound and not ranking.bound and not asked.only:
        name = _binding(parts, asked)
        if name != line.binding:
            line.binding, line.bound = name, _bound(parts, name)
            ranking = _ranked(parts, asked, line)
    if asked.only:
        ranking = _only(ranking, asked.only)
    if not ranking.candidates:
        raise refusals.nobody(parts, asked)
    return ranking


def _ranked(parts: Parts, asked: Asked, line: _Line) -> Ranking:
    caller, platforms, model = asked.caller, asked.platforms, asked.model
    ranking = parts.scheduler.rank(caller, platforms, model, bound=line.bound, skip=line.skip)
    if ranking.candidates or not line.skip:
        return ranking
    line.skip = frozenset()
    line.looked = True
    return parts.scheduler.rank(caller, platforms, model, bound=line.bound)


def _bound(parts: Parts, binding: str) -> int:
    return parts.live.bound(binding) if binding else 0


def _only(ranking: Ranking, account_id: int) -> Ranking:
    mine = [each for each in ranking.candidates if each.account.id == account_id]
    return msgspec.structs.replace(ranking, candidates=mine)


def _binding(parts: Parts, asked: Asked) -> str:
    """Return the name of the binding that counts for the model that was asked for."""
    bound = _bound(parts, asked.session)
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
    patience = wait = 0.0
    line.one = ranking.bound and bool(line.binding) and not line.overflows
    places = _places(parts, asked, ranking, most=1 if line.one else MOST_CANDIDATES)
    if line.one:
        patience = max(0.0, min(_SLICE_SECONDS, line.sticky_ends - now))
    elif len(places) < MOST_CANDIDATES or line.looked:
        line.ends = line.ends or now + settings.fallback_wait_timeout
        wait = max(0.0, min(_SLICE_SECONDS, line.ends - now))
    sticky = None
    if line.binding:
        void = line.bound != 0 and not ranking.bound and _is_void(parts, asked, line.bound)
        most = settings.sticky_session_max_waiting if line.one else 0
        sticky = Sticky(
            line.binding, line.bound, _only_if(void, line.bound),
            settings.sticky_session_ttl, patience, most,
        )  # fmt: skip
    return Entry(
        call_id=asked.call_id,
        user=asked.caller.user.id,
        key=asked.caller.key.id,
        slots=side.slots,
        windows=parts.places.windows_of(side, asked.tokens) if side.limited else (),
        budgets=parts.places.budgets_of(side) if side.limited else (),
        candidates=places,
        sticky=sticky,
        session=asked.session,
        wait=wait,
        max_waiting=settings.fallback_max_waiting,
        ticket=line.ticket,
    )


def _places(
    parts: Parts, asked: Asked, ranking: Ranking, most: int = MOST_CANDIDATES
) -> tuple[Place, ...]:
    place, tokens = parts.places.place, asked.tokens
    candidates = ranking.candidates[:most]
    if len(candidates) == 1:
        return (place(candidates[0], tokens, bound=ranking.bound),)
    return tuple(
        [
            place(each, tokens, bound=ranking.bound and index == 0)
            for index, each in enumerate(candidates)
        ]
    )


def _only_if(void: bool, account_id: int) -> frozenset[int]:
    return frozenset((account_id,)) if void else frozenset()


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


async def _fill(parts: Parts, entry: Entry, unfilled: Unfilled) -> None:
    budgets = {*entry.budgets, *(each for place in entry.candidates for each in place.budgets)}
    await parts.budgets.fill(parts.live, [each for each in budgets if each.name in unfilled.names])
