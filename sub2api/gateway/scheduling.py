"""The order in which accounts are tried, and why: the same lists answer a call and `explain`.

Filter (in use, model, rests, budgets) -> the group's model route -> the session's own account ->
room left -> the group's place in the key's list -> priority -> load -> least recently used ->
chance.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Literal

import msgspec

from sub2api.clock import Clock
from sub2api.gateway.explanation import Standing, explained
from sub2api.gateway.members import Facts, Health, Loads, Member, members_of
from sub2api.gateway.pools import Pool
from sub2api.model.accounts import PlatformName
from sub2api.model.callers import Caller
from sub2api.upstream.catalogue import Candidate, Catalogue

MOST_CANDIDATES = 8
"""How many ranked candidates one admission looks at."""
MOST_MEMBERS = 200_000
"""How many accounts all pools together may hold (about 60 MB); the pool asked longest ago goes."""
MOST_TOUCHES = 16_384
"""How many touches are remembered; a pool that has missed more is sorted anew."""

Reached = Literal["usable", "resting", "slow", "lacks model", "not reached", "out of use"]
_OF_ACCOUNTS = frozenset({"account", "probe"})
"""Kinds of slots that an account is ranked by."""


class Ranking(msgspec.Struct):
    """Whom to ask, best first.

    `bound`: the first is the account that the session is bound to. `earliest`: nobody is usable
    now, and when the first of them will be (seconds since 1970); None if never by itself.
    """

    candidates: list[Candidate]
    bound: bool = False
    earliest: float | None = None


def admits_all(candidate: Candidate, bound: bool) -> bool:
    """Find room in every account's budgets."""
    return True


class Scheduler:
    """Ranks accounts. One per process, on its event loop.

    `admits(candidate, bound)` says whether an account's own budgets (the cost of its vendor's
    window) have room for a new session, or a bound one, in the local picture.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        live: Loads,
        health: Health,
        clock: Clock,
        admits: Callable[[Candidate, bool], bool] = admits_all,
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._health = health
        self._admits = admits
        self._facts = Facts(health, live.load, catalogue.last_used, clock.chance, admits)
        self._pools: OrderedDict[tuple[object, ...], Pool] = OrderedDict()
        self._held = 0
        self._snapshot = catalogue.snapshot
        self._touches: list[int] = []
        self._forgotten = 0
        live.watch_load(self._load_changed)
        health.watch(self._touch)
        catalogue.watch(self._touch)

    def rank(
        self,
        caller: Caller,
        platforms: tuple[PlatformName, ...],
        model: str,
        *,
        bound: int = 0,
        skip: Collection[int] = (),
        most: int = MOST_CANDIDATES,
    ) -> Ranking:
        """Return whom to ask, best first, without the accounts in `skip` (tried already).

        `bound` is the account that the session stays with: it leads while it can be used, even
        when it is full (admission waits for it), since its prompt cache is worth more than
        fairness.
        """
        now = self._clock.now()
        pool = self._pool(caller, platforms, model, now)
        if len(pool.members) == 1:
            return self._only(pool.members[0], bound, skip, now)
        first = self._bound(pool, bound, now) if bound and bound not in skip else None
        found = pool.best(most, skip, first, now)
        if found:
            if first is None:
                pool.chosen(pool.by_account[found[0].account.id], now)
            return Ranking(found, first is not None)
        if skip:
            found = pool.beyond_routes(most, skip, now)
        return Ranking(found, False, None if found else pool.earliest())

    def alone(
        self, caller: Caller, platforms: tuple[PlatformName, ...], model: str, account_id: int
    ) -> Ranking:
        """Return the one account that can honour a call, if it is usable now.

        However slow it is, and wherever the group's model routes lead: no other will do.
        """
        now = self._clock.now()
        member = self._pool(caller, platforms, model, now).by_account.get(account_id)
        if member is None:
            return Ranking([])
        found = self._only(member, account_id, (), now)
        return Ranking(found.candidates, bool(found.candidates), found.earliest)

    def standing(
        self, caller: Caller, platforms: tuple[PlatformName, ...], model: str, account_id: int
    ) -> Reached:
        """Return how an account stands to a key and model: whether a binding to it is void."""
        now = self._clock.now()
        member = self._pool(caller, platforms, model, now).by_account.get(account_id)
        if member is None:
            return self._outside(caller, platforms, account_id, now)
        rest = self._health.rest_of(member.account, member.candidate.upstream_model, now)
        if rest is not None:
            return "out of use" if rest.out_of_use else "resting"
        if member.held:
            return "not reached"
        if self._health.is_slow(member.account, member.candidate.upstream_model):
            return "slow"
        return "usable" if self._admits(member.candidate, True) else "resting"

    def explain(
        self, caller: Caller, platforms: tuple[PlatformName, ...], model: str, *, bound: int = 0
    ) -> list[Standing]:
        """Return every account the key reaches, in the order the next call would try them.

        Those that it would not try come last, with the reason. Changes nothing.
        """
        now = self._clock.now()
        pool = self._pool(caller, platforms, model, now)
        if len(pool.members) == 1:
            pool.sort(now)  # one alone is not kept in order
        reachable = self._catalogue.accounts_for(caller, platforms)
        return explained(pool, reachable, self._facts, bound, now)

    def _outside(
        self, caller: Caller, platforms: tuple[PlatformName, ...], account_id: int, now: float
    ) -> Reached:
        for candidate in self._catalogue.accounts_for(caller, platforms):
            if candidate.account.id == account_id:
                return "lacks model" if candidate.account.is_usable(now) else "out of use"
        return "not reached"

    def _only(self, member: Member, bound: int, skip: Collection[int], now: float) -> Ranking:
        """Rank a pool of one: nothing to sort."""
        candidate, is_bound = member.candidate, member.account.id == bound
        rest = self._health.rest_of(member.account, candidate.upstream_model, now)
        if rest is not None:
            return Ranking([], False, None if rest.out_of_use else rest.until)
        if member.account.id in skip or not self._admits(candidate, is_bound):
            return Ranking([])
        slow = is_bound and self._health.is_slow(member.account, candidate.upstream_model)
        return Ranking([candidate], is_bound and not slow)

    def _bound(self, pool: Pool, account_id: int, now: float) -> Member | None:
        """Return the bound account's member if its session can stay there."""
        member = pool.by_account.get(account_id)
        if member is None or (member.key is None and not member.parked):
            return None
        candidate = member.candidate
        if not self._admits(candidate, True):
            return None
        return None if self._health.is_slow(member.account, candidate.upstream_model) else member

    def _pool(
        self, caller: Caller, platforms: tuple[PlatformName, ...], model: str, now: float
    ) -> Pool:
        """Return the pool, brought up to date."""
        if self._catalogue.snapshot is not self._snapshot:
            self._snapshot = self._catalogue.snapshot
            self._pools.clear()
            self._held = 0
        asked = (caller.key.group_ids, platforms, model)
        pool = self._pools.get(asked)
        if pool is None or now >= pool.valid_until:
            pool = self._made(caller, platforms, model, now)
            self._keep(asked, pool)
            return pool
        self._pools.move_to_end(asked)
        if len(pool.members) > 1:
            self._caught_up(pool, now)
        return pool

    def _made(
        self, caller: Caller, platforms: tuple[PlatformName, ...], model: str, now: float
    ) -> Pool:
        reachable = self._catalogue.accounts_for(caller, platforms)
        pool = Pool(members_of(reachable, model, now), self._facts, now)
        pool.seen = self._forgotten + len(self._touches)
        return pool

    def _keep(self, asked: tuple[object, ...], pool: Pool) -> None:
        """Keep a pool; let those go that were asked longest ago, until all are within bounds."""
        pools, old = self._pools, self._pools.pop(asked, None)
        self._held += _size(pool) - (0 if old is None else _size(old))
        pools[asked] = pool
        while self._held > MOST_MEMBERS and len(pools) > 1:
            self._held -= _size(pools.popitem(last=False)[1])

    def _caught_up(self, pool: Pool, now: float) -> None:
        missed = pool.seen - self._forgotten
        if missed < 0:
            pool.sort(now)
        else:
            pool.visit(self._touches[missed:], now)
        pool.seen = self._forgotten + len(self._touches)

    def _load_changed(self, name: str) -> None:
        kind, _, account_id = name.partition(":")
        if kind in _OF_ACCOUNTS:
            self._touch(int(account_id))

    def _touch(self, account_id: int) -> None:
        touches = self._touches
        touches.append(account_id)
        if len(touches) > MOST_TOUCHES:
            oldest = len(touches) // 2
            del touches[:oldest]
            self._forgotten += oldest


def _size(pool: Pool) -> int:
    return 1 + len(pool.members)
