"""What a call asks live state for, round by round: its standing in line becomes an `Entry`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from sub2api.gateway.parts import Parts
from sub2api.gateway.places import CallerSide
from sub2api.gateway.scheduling import MOST_CANDIDATES, Ranking
from sub2api.live.interfaces import Budget, Entry, Place, Sticky
from sub2api.model.accounts import PlatformName
from sub2api.model.callers import Caller
from sub2api.upstream.model_mapping import mapped_model

_SLICE_SECONDS = 1.0
_SHORT_REST_SECONDS = 60.0
"""A session whose account rests no longer than this comes back to it: its cache is there."""


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
class Line:
    """A call's standing in line, from one asking to the next. Times are `Clock.monotonic()`.

    Until `sticky_ends` it waits for its session's own account (`one`: it has just asked for that
    alone); `overflows` once others will do as well, until `ends`. `bound` is the account that the
    binding named `binding` is to, as far as this process knows. `skip` are accounts whose windows
    are full, while others are looked at; `looked` once there are no others. `unknown` are budgets
    of which the store could not tell: they do not count for this call.
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
    unknown: frozenset[str] = frozenset()

    def may_be_others(self, entry: Entry) -> bool:
        """Whether there may be accounts with room that the ranking has cut off."""
        return len(entry.candidates) >= MOST_CANDIDATES and not self.looked


def ranking_for(parts: Parts, asked: Asked, line: Line) -> Ranking:
    """Rank the accounts for this round.

    An account that lacks the model leaves the session's binding as it is: the model gets one of
    its own, so that a session of two models does not move to and fro.
    """
    if asked.only:
        return parts.scheduler.alone(asked.caller, asked.platforms, asked.model, asked.only)
    line.binding, line.bound = asked.session, bound_to(parts, asked.session)
    ranking = _ranked(parts, asked, line)
    if line.bound and not ranking.bound:
        name = binding_of(parts, asked)
        if name != line.binding:
            line.binding, line.bound = name, bound_to(parts, name)
            ranking = _ranked(parts, asked, line)
    return ranking


def _ranked(parts: Parts, asked: Asked, line: Line) -> Ranking:
    caller, platforms, model = asked.caller, asked.platforms, asked.model
    ranking = parts.scheduler.rank(caller, platforms, model, bound=line.bound, skip=line.skip)
    if ranking.candidates or not line.skip:
        return ranking
    line.skip = frozenset()
    line.looked = True
    return parts.scheduler.rank(caller, platforms, model, bound=line.bound)


def entry_for(parts: Parts, asked: Asked, side: CallerSide, ranking: Ranking, line: Line) -> Entry:
    """Ask for one slice of the wait: for the session's own account alone, as long as that is due.

    Such an entry does not wait like others (`wait` 0): if too many do already, it is refused at
    once, and the call goes elsewhere.
    """
    now = parts.clock.monotonic()
    settings = parts.settings.gateway.scheduling
    patience = wait = 0.0
    line.one = ranking.bound and bool(line.binding) and not line.overflows
    places = places_for(
        parts, asked, ranking, line.unknown, most=1 if line.one else MOST_CANDIDATES
    )
    if line.one:
        patience = max(0.0, min(_SLICE_SECONDS, line.sticky_ends - now))
    elif len(places) < MOST_CANDIDATES or line.looked:
        line.ends = line.ends or now + settings.fallback_wait_timeout
        wait = max(0.0, min(_SLICE_SECONDS, line.ends - now))
    sticky = None
    if line.binding:
        void = line.bound != 0 and not ranking.bound and _is_void(parts, asked, line.bound)
        most = settings.sticky_session_max_waiting if line.one else 0
        unusable = _only_if(void, line.bound)
        ttl = settings.sticky_session_ttl
        sticky = Sticky(line.binding, line.bound, unusable, ttl, patience, most)
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


def places_for(
    parts: Parts,
    asked: Asked,
    ranking: Ranking,
    unknown: Collection[str],
    most: int = MOST_CANDIDATES,
) -> tuple[Place, ...]:
    """Return what must have room for each of the best `most` candidates."""
    place, tokens = parts.places.place, asked.tokens
    places = [
        place(each, tokens, bound=ranking.bound and index == 0)
        for index, each in enumerate(ranking.candidates[:most])
    ]
    if unknown:
        places = [
            msgspec.structs.replace(each, budgets=_known(each.budgets, unknown)) for each in places
        ]
    return tuple(places)


def moving_binding(parts: Parts, asked: Asked) -> Sticky | None:
    """Return the session's binding as a call that moves on sees it: void if it has to move too."""
    if not asked.session:
        return None
    name = binding_of(parts, asked)
    bound = bound_to(parts, name)
    void = bound != 0 and _is_void(parts, asked, bound)
    ttl = parts.settings.gateway.scheduling.sticky_session_ttl
    return Sticky(name, bound, _only_if(void, bound), ttl)


def bound_to(parts: Parts, binding: str) -> int:
    """Return the account of a binding, as far as this process knows; 0 for none."""
    return parts.live.bound(binding) if binding else 0


def binding_of(parts: Parts, asked: Asked) -> str:
    """Return the name of the binding that counts for the model that was asked for."""
    bound = bound_to(parts, asked.session)
    if bound and standing_of(parts, asked, bound) == "lacks model":
        return f"{asked.session}:{asked.model[:64]}"
    return asked.session


def standing_of(parts: Parts, asked: Asked, account_id: int) -> str:
    """Return how an account stands to what was asked for."""
    return parts.scheduler.standing(asked.caller, asked.platforms, asked.model, account_id)


def budgets_in(entry: Entry) -> list[Budget]:
    """Return every budget that an entry asks about."""
    return [*entry.budgets, *(each for place in entry.candidates for each in place.budgets)]


def _known(budgets: tuple[Budget, ...], unknown: Collection[str]) -> tuple[Budget, ...]:
    if not unknown:
        return budgets
    return tuple(each for each in budgets if each.name not in unknown)


def _only_if(void: bool, account_id: int) -> frozenset[int]:
    return frozenset((account_id,)) if void else frozenset()


def _is_void(parts: Parts, asked: Asked, account_id: int) -> bool:
    """Whether a binding to this account has to move: it cannot be used, or not soon."""
    standing = standing_of(parts, asked, account_id)
    account = parts.catalogue.snapshot.accounts.get(account_id)
    if standing != "resting" or account is None:
        return standing in {"slow", "not reached", "out of use"}
    now = parts.clock.now()
    upstream_model = mapped_model(account.model_mapping, asked.model) or asked.model
    rest = parts.health.rest_of(account, upstream_model, now)
    return rest is not None and rest.until - now > _SHORT_REST_SECONDS
