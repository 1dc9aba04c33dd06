"""What was spent of limits of money: in the windows that run now, and of a quota."""

from __future__ import annotations

import msgspec

from sub2api.model.callers import ApiKey, User
from sub2api.model.windows import WINDOW_KINDS, period
from sub2api.store import spending
from sub2api.store.database import Connection

_EVER = 1e12
"""Later than any call, in seconds since 1970; a moment the store can keep."""


class Spent(msgspec.Struct, frozen=True):
    """What was spent of one limit, both in nanodollars.

    `window` is `5h`, `day`, `week`, `month` or `quota`. It runs from `since` to `until` (seconds
    since 1970); a quota has neither.
    """

    window: str
    limit: int
    cost: int
    since: float | None = None
    until: float | None = None


async def spent_of(
    connection: Connection, who: ApiKey | User, *, now: float, timezone: str
) -> list[Spent]:
    """Return what a key or user has spent of each limit that is set, at `now`."""
    noun: spending.Noun = "key" if isinstance(who, ApiKey) else "user"
    found = []
    for kind in WINDOW_KINDS:
        limit = getattr(who.limits, f"cost_{kind}")
        if limit:
            since, until = period(kind, now, anchor=who.created_at, timezone=timezone)
            cost, _ = await spending.spent(connection, noun, who.id, since, until)
            found.append(Spent(kind, limit, cost, since, until))
    if isinstance(who, ApiKey) and who.quota:
        cost, _ = await spending.spent(connection, noun, who.id, 0.0, _EVER)
        found.append(Spent("quota", who.quota, cost))
    return found
