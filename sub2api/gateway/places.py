"""What must have room before a call may come in: its caller's limits, and a candidate account's.

Most callers and accounts limit nothing but calls at once: for them the same value is handed out
again and again. `live` decides; here is only said what it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from sub2api.clock import Clock
from sub2api.gateway.budgets import Budgets, Owner, vendor_window
from sub2api.live.interfaces import Budget, Live, Place, Sessions, Slot, Window
from sub2api.model.accounts import Account, Group
from sub2api.model.callers import Caller
from sub2api.model.limits import NO_LIMITS
from sub2api.upstream.catalogue import Candidate
from sub2api.upstream.health import Health

_WINDOW_SECONDS = 5 * 3600
_MOST_REMEMBERED = 65_536


@lru_cache(8192)
def slot(kind: str, noun_id: int, limit: int) -> Slot:
    """Return the slot that bounds the calls at once of a user, key, group or account."""
    return Slot(f"{kind}:{noun_id}", limit)


class CallerSide(msgspec.Struct, frozen=True):
    """A caller's own limits. `limited` are those nouns (user, key) that limit more than slots."""

    caller: Caller
    slots: tuple[Slot, ...]
    limited: tuple[Owner, ...]


class Places:
    """Says what a call must have room in."""

    def __init__(self, budgets: Budgets, health: Health, live: Live, clock: Clock) -> None:
        self._budgets = budgets
        self._health = health
        self._live = live
        self._clock = clock
        self._callers: dict[int, CallerSide] = {}
        self._plain: dict[int, tuple[Account, Group | None, int, Place]] = {}
        self._owners: dict[tuple[str, int], tuple[object, Owner]] = {}

    def of_caller(self, caller: Caller) -> CallerSide:
        """Return the limits of a call's user and key."""
        known = self._callers.get(caller.key.id)
        if known is not None and known.caller is caller:
            return known
        user, key = caller.user, caller.key
        slots = [slot("user", user.id, user.concurrency), slot("key", key.id, key.concurrency)]
        owners = [
            Owner("user", user.id, user.created_at, user.limits),
            Owner("key", key.id, key.created_at, key.limits, key.quota),
        ]
        side = CallerSide(
            caller,
            tuple(each for each in slots if each.limit > 0),
            tuple(each for each in owners if each.limits != NO_LIMITS or each.quota),
        )
        if len(self._callers) >= _MOST_REMEMBERED:
            self._callers.clear()
        self._callers[key.id] = side
        return side

    def windows_of(self, side: CallerSide, tokens: int) -> tuple[Window, ...]:
        """Return a caller's request and token windows; `tokens` is what the call may take."""
        return tuple(each for owner in side.limited for each in _windows(owner, tokens))

    def budgets_of(self, side: CallerSide) -> tuple[Budget, ...]:
        """Return a caller's budgets of this moment."""
        return tuple(each for owner in side.limited for each in self._budgets.of(owner))

    def place(self, candidate: Candidate, tokens: int, *, bound: bool) -> Place:
        """Return what must have room before a call may go to a candidate.

        `bound`: the call's session is bound to it, and may use the window cost's reserve.
        """
        account, group = candidate.account, candidate.group
        concurrency = self._health.concurrency_of(account)
        known = self._plain.get(account.id)
        now = self._clock.now()
        probes = self._health.half_open(account, candidate.upstream_model, now)
        if (
            known is not None
            and not probes
            and known[0] is account
            and known[1] is group
            and known[2] == concurrency
        ):
            return known[3]
        place = self._place(candidate, tokens, concurrency, bound)
        if probes:
            probe = Slot(f"probe:{account.id}", 1)
            return msgspec.structs.replace(place, slots=(*place.slots, probe))
        if not (place.windows or place.budgets):
            if len(self._plain) >= _MOST_REMEMBERED:
                self._plain.clear()
            self._plain[account.id] = (account, group, concurrency, place)
        return place

    def admits(self, candidate: Candidate, bound: bool) -> bool:
        """Whether a candidate's budgets have room as far as the local picture tells."""
        return all(
            (self._live.spent(budget.name) or 0) < budget.limit
            for budget in self._candidates_budgets(candidate, bound)
        )

    def _place(self, candidate: Candidate, tokens: int, concurrency: int, bound: bool) -> Place:
        account, group = candidate.account, candidate.group
        slots = [slot("account", account.id, concurrency)]
        if group is not None:
            slots.append(slot("group", group.id, group.concurrency))
        sessions = None
        if account.max_sessions > 0:
            idle = account.session_idle_minutes * 60.0
            sessions = Sessions(f"sessions:{account.id}", account.max_sessions, idle)
        return Place(
            account.id,
            tuple(each for each in slots if each.limit > 0),
            tuple(each for owner in self._owners_of(candidate) for each in _windows(owner, tokens)),
            tuple(self._candidates_budgets(candidate, bound)),
            sessions,
        )

    def _candidates_budgets(self, candidate: Candidate, bound: bool) -> Iterator[Budget]:
        for owner in self._owners_of(candidate):
            yield from self._budgets.of(owner)
        account = candidate.account
        if account.window_cost_limit > 0:
            limit = account.window_cost_limit + (account.window_cost_reserve if bound else 0)
            since, until = self._vendor_window(account.id)
            yield vendor_window(account.id, limit, since, until)

    def _vendor_window(self, account_id: int) -> tuple[float, float]:
        """Return the account's 5 h window: the vendor's word, else from the top of this hour."""
        now = self._clock.now()
        for window in self._health.windows_of(account_id):
            if window.name == "5h" and window.resets_at > now:
                return window.resets_at - _WINDOW_SECONDS, window.resets_at
        top = now - now % 3600
        return top, top + _WINDOW_SECONDS

    def _owners_of(self, candidate: Candidate) -> Iterator[Owner]:
        account, group = candidate.account, candidate.group
        if account.limits != NO_LIMITS:
            yield self._owner("account", account, account.created_at)
        if group is not None and group.limits != NO_LIMITS:
            yield self._owner("group", group, group.created_at)

    def _owner(self, noun: str, of: Account | Group, anchor: float) -> Owner:
        known = self._owners.get((noun, of.id))
        if known is not None and known[0] is of:
            return known[1]
        owner = Owner("account" if noun == "account" else "group", of.id, anchor, of.limits)
        self._owners[noun, of.id] = (of, owner)
        return owner


def _windows(owner: Owner, tokens: int) -> Iterator[Window]:
    limits = owner.limits
    if limits.rpm > 0:
        yield Window(f"rpm:{owner.noun}:{owner.id}", limits.rpm)
    if limits.tpm > 0:
        yield Window(f"tpm:{owner.noun}:{owner.id}", limits.tpm, tokens, tokens=True)
