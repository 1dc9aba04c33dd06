"""Money that may be spent: which budgets a noun has now, and what the store knows of them.

A budget's name says whose it is and when its period began, so nothing is ever reset: the next
period has another name. `live` counts what is spent under it; a name it does not know is filled
from the store's rollups and from the closes that are still on their way there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from sub2api.billing.journal import Journal
from sub2api.clock import Clock
from sub2api.live.interfaces import Budget, Live
from sub2api.model.limits import Limits
from sub2api.model.usage import UsageRow
from sub2api.model.windows import WINDOW_KINDS, period
from sub2api.store import spending
from sub2api.store.database import Database

Noun = Literal["user", "key", "group", "account"]

QUOTA = "quota"
VENDOR = "vendor"
_KEPT_SECONDS = 900.0
"""How long a period's counter outlives it: calls that arrived in it may still be running."""
_WHOLE_TIME = 4e9
_MOST_REMEMBERED = 65_536


class Owner(msgspec.Struct, frozen=True):
    """Who has limits. `anchor` (seconds since 1970) is when its 5 hour blocks begin to count."""

    noun: Noun
    id: int
    anchor: float
    limits: Limits
    quota: int = 0


@dataclass(frozen=True, slots=True)
class _Current:
    owner: Owner
    budgets: tuple[Budget, ...]
    until: float


class Budgets:
    """Names the budgets of the present, and fills those that live state does not know."""

    def __init__(self, database: Database, journal: Journal, clock: Clock, timezone: str) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._timezone = timezone
        self._current: dict[tuple[Noun, int], _Current] = {}

    def of(self, owner: Owner) -> tuple[Budget, ...]:
        """Return the owner's budgets at this moment; () if nothing of it is limited."""
        now = self._clock.now()
        known = self._current.get((owner.noun, owner.id))
        if known is not None and known.owner is owner and now < known.until:
            return known.budgets
        budgets = tuple(self._named(owner, now))
        ends = [each.expires - _KEPT_SECONDS for each in budgets if each.expires]
        until = min(ends, default=_WHOLE_TIME)
        if len(self._current) >= _MOST_REMEMBERED:
            self._current.clear()
        self._current[owner.noun, owner.id] = _Current(owner, budgets, until)
        return budgets

    def _named(self, owner: Owner, now: float) -> Iterator[Budget]:
        lists = owner.noun in {"group", "account"}
        for kind in WINDOW_KINDS:
            limit = getattr(owner.limits, f"cost_{kind}")
            if limit > 0:
                since, until = period(kind, now, anchor=owner.anchor, timezone=self._timezone)
                yield Budget(
                    _name(owner.noun, owner.id, kind, since), limit, until + _KEPT_SECONDS, lists
                )
        if owner.quota > 0:
            yield Budget(_name(owner.noun, owner.id, QUOTA, 0), owner.quota)

    async def fill(self, live: Live, unfilled: Iterable[Budget]) -> None:
        """Tell live state what was spent under these names. Raises StoreError."""
        spent: dict[Budget, int] = {}
        seen: dict[str, frozenset[str]] = {}
        on_their_way = self._journal.pending()
        async with self._database.reading() as connection:
            for budget in unfilled:
                noun, noun_id, _, since = parsed(budget.name)
                until = budget.expires - _KEPT_SECONDS if budget.expires else _WHOLE_TIME
                costs = await spending.spent(connection, noun, noun_id, since, until)
                booked = await live.filling(budget.name)
                mine = [
                    close.row
                    for close in on_their_way
                    if close.call_id not in booked
                    and since <= close.row.started_at < until
                    and _id_in(close.row, noun) == noun_id
                ]
                ids = booked | {row.call_id for row in mine}
                known = await spending.known(connection, ids)
                coming = sum(_cost(row, budget) for row in mine if row.call_id not in known)
                spent[budget] = costs[1 if budget.lists else 0] + coming
                seen[budget.name] = frozenset(booked & known)
        await live.fill(spent, seen)


def vendor_window(account_id: int, limit: int, since: float, until: float) -> Budget:
    """Return the budget of an account's present window at its vendor, in list costs."""
    name = _name("account", account_id, VENDOR, since)
    return Budget(name, limit, until + _KEPT_SECONDS, lists=True)


def _name(noun: Noun, noun_id: int, kind: str, since: float) -> str:
    return f"cost:{noun}:{noun_id}:{kind}:{int(since)}"


def parsed(name: str) -> tuple[Noun, int, str, float]:
    """Return a budget's noun, its id, the kind of period and its start. Raises ValueError."""
    _, noun, noun_id, kind, since = name.split(":")
    if noun not in {"user", "key", "group", "account"}:
        raise ValueError(f"{name} is no budget's name")
    return noun, int(noun_id), kind, float(since)  # type: ignore[return-value]


def _id_in(row: UsageRow, noun: Noun) -> int | None:
    return {
        "user": row.user_id,
        "key": row.key_id,
        "group": row.group_id,
        "account": row.account_id,
    }[noun]


def _cost(row: UsageRow, budget: Budget) -> int:
    return (row.list_cost if budget.lists else row.cost) or 0
