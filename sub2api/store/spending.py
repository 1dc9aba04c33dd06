"""What keys, users, groups and accounts spent, summed up per quarter of an hour.

Rollups of the usage rows, written in the transaction that writes those: limits of money are read
from here, since every window of money begins and ends on a quarter (`model/windows.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.model.usage import UsageRow
from sub2api.store import bulk, tables

Noun = Literal["key", "user", "group", "account"]

spending = tables.spending
usage = tables.usage

_QUARTER_MS = 900_000
_RARE = ("input_audio", "input_image", "output_audio", "output_image")
"""Token classes that a usage row has in its `details`; what else is there is no further token."""
_COLUMNS = ("noun", "noun_id", "quarter", "calls", "tokens", "cost", "list_cost")
_ADD = "(noun, noun_id, quarter) DO UPDATE SET " + ", ".join(
    f"{name} = spending.{name} + excluded.{name}" for name in _COLUMNS[3:]
)

_Place = tuple[str, int, int]
_Sums = list[int]
"""Calls, tokens, cost, list cost."""


async def book(connection: AsyncConnection, rows: Iterable[UsageRow]) -> None:
    """Add calls to what their key, user, group and account spent. Not safe to repeat.

    Only rows that `usage.insert` has just reported as new may be given, in its transaction. A call
    counts in the quarter it started in; an unknown cost counts as 0.
    """
    sums = _summed(rows)
    if sums:
        # In order of the key, so that two processes booking for the same nouns cannot deadlock.
        added = [(*place, *sums[place]) for place in sorted(sums)]
        await bulk.insert(connection, spending, _COLUMNS, added, _ADD)


async def spent(
    connection: AsyncConnection, noun: Noun, noun_id: int, since: float, until: float
) -> tuple[int, int]:
    """Return the cost and list cost (nanodollars) of calls that started in [since, until).

    Both are seconds since 1970, on quarters of an hour; others are rounded up to one.
    """
    c = spending.c
    statement = select(
        func.coalesce(func.sum(c.cost), 0), func.coalesce(func.sum(c.list_cost), 0)
    ).where(c.noun == noun, c.noun_id == noun_id, c.quarter >= since, c.quarter < until)
    cost, list_cost = (await connection.execute(statement)).one()
    return int(cost), int(list_cost)


async def known(connection: AsyncConnection, call_ids: Iterable[str]) -> set[str]:
    """Return which of these calls are in the store, and so in what `spent` says.

    Read both on one connection of `Database.reading()`: then they tell of the same moment.
    """
    wanted = list(dict.fromkeys(call_ids))
    found: set[str] = set()
    for first in range(0, len(wanted), 5000):  # a statement has a limit of parameters
        some = wanted[first : first + 5000]
        found.update(
            await connection.scalars(select(usage.c.call_id).where(usage.c.call_id.in_(some)))
        )
    return found


def _summed(rows: Iterable[UsageRow]) -> dict[_Place, _Sums]:
    sums: defaultdict[_Place, _Sums] = defaultdict(lambda: [0, 0, 0, 0])
    for row in rows:
        quarter = round(row.started_at * 1000) // _QUARTER_MS * _QUARTER_MS
        tokens, cost, list_cost = _tokens(row), row.cost or 0, row.list_cost or 0
        nouns = [sums["key", row.key_id, quarter], sums["user", row.user_id, quarter]]
        if row.group_id is not None:
            nouns.append(sums["group", row.group_id, quarter])
        if row.account_id is not None:
            nouns.append(sums["account", row.account_id, quarter])
        for each in nouns:
            each[0] += 1
            each[1] += tokens
            each[2] += cost
            each[3] += list_cost
    return sums


def _tokens(row: UsageRow) -> int:
    tokens = (
        row.input_tokens
        + row.output_tokens
        + row.cache_read_tokens
        + row.cache_creation_tokens
        + row.cache_creation_long_tokens
    )
    if row.details:
        tokens += sum(int(row.details.get(name, 0)) for name in _RARE)
    return tokens
