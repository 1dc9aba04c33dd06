"""Statements on usage: one row per call, and what they sum up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Row,
    Select,
    and_,
    case,
    func,
    literal,
    select,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.model.usage import UsageRow
from sub2api.model.windows import zone_of
from sub2api.store import bulk, tables

usage = tables.usage
By = Literal["key", "account", "model", "day"]

_FIELDS = tuple(UsageRow.__struct_fields__)
_JSON_AT = [_FIELDS.index(name) for name in ("details", "received", "pricing")]
_STARTED_AT = _FIELDS.index("started_at")
_encode = msgspec.json.Encoder().encode
_ROW_COLUMNS = [usage.c[field] for field in _FIELDS]
# Days are summed from quarters of an hour: every time zone's offset is a multiple of it.
_QUARTER_MS = 900_000


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """Calls of one key, account, model or day, added up.

    `id` is the key's or account's (None for models and days, and for calls that reached no
    account, whose `name` is empty). A day's name is its ISO date. `cost` is in nanodollars, of the
    calls that have a price; None when none has. `unpriced` counts successful calls without a
    price, `errors` calls that failed. `cache_creation_tokens` includes the long-lived ones.
    """

    name: str
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    cost: int | None = None
    unpriced: int = 0
    errors: int = 0
    id: int | None = None


async def insert(connection: AsyncConnection, rows: Sequence[UsageRow]) -> set[str]:
    """Insert rows whose call id is new; return the call ids that were. Safe to repeat."""
    first: dict[str, UsageRow] = {}
    for row in rows:
        first.setdefault(row.call_id, row)
    if not first:
        return set()
    if connection.dialect.name == "postgresql":
        # Others insert at the same time: only the statement that inserts knows what was new.
        values = [_for_postgres(_driver_values(first[call_id])) for call_id in sorted(first)]
        return await bulk.insert_new(connection, usage, _FIELDS, values, "call_id")
    known = set(await connection.scalars(select(usage.c.call_id).where(usage.c.call_id.in_(first))))
    new = [row for call_id, row in first.items() if call_id not in known]
    values = [_driver_values(row) for row in new]
    await bulk.insert(connection, usage, _FIELDS, values, "(call_id) DO NOTHING")
    return {row.call_id for row in new}


def _driver_values(row: UsageRow) -> tuple[Any, ...]:
    values = list(msgspec.structs.astuple(row))
    for index in _JSON_AT:
        values[index] = _encode(values[index]).decode() if values[index] else "{}"
    values[_STARTED_AT] = round(values[_STARTED_AT] * 1000)
    return tuple(values)


def _for_postgres(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return values without U+0000, which Postgres' texts cannot hold: clients choose some."""
    return tuple(
        each.replace("\0", "\ufffd") if isinstance(each, str) and "\0" in each else each
        for each in values
    )


async def find(connection: AsyncConnection, call_id: str) -> UsageRow | None:
    """Return the row of a call, None when it has none (yet)."""
    statement = select(*_ROW_COLUMNS).where(usage.c.call_id == call_id)
    row = (await connection.execute(statement)).mappings().first()
    return None if row is None else UsageRow(**row)


async def recent(connection: AsyncConnection, limit: int) -> list[UsageRow]:
    """Return the newest rows by start, newest first."""
    order = (usage.c.started_at.desc(), usage.c.id.desc())
    found = await connection.execute(select(*_ROW_COLUMNS).order_by(*order).limit(limit))
    return [UsageRow(**row) for row in found.mappings()]


async def summary(
    connection: AsyncConnection,
    *,
    since: float,
    until: float | None = None,
    by: By,
    timezone: str = "UTC",
) -> list[UsageSummary]:
    """Add up the calls that started in [since, until), seconds since 1970.

    Days are those of `timezone` (an IANA name), in order; everything else is ordered by cost, most
    expensive first, then by requests and name.
    """
    period = [usage.c.started_at >= since]
    if until is not None:
        period.append(usage.c.started_at < until)
    found = (await connection.execute(_SELECTS[by].where(*period))).all()
    if by == "day":
        return _by_day(found, zone_of(timezone))
    return sorted((_summary(row, row.name, row.id) for row in found), key=_costliest_first)


async def key_totals(connection: AsyncConnection, key_id: int, since: float) -> UsageSummary:
    """Add up one key's calls since a moment; all zero when there are none."""
    statement = select(*_sums()).where(usage.c.key_id == key_id, usage.c.started_at >= since)
    return _summary((await connection.execute(statement)).one(), "", key_id)


def _sums() -> list[ColumnElement[Any]]:
    c = usage.c
    unpriced = and_(c.error == "", c.cost.is_(None))
    return [
        func.count().label("requests"),
        func.sum(c.input_tokens).label("input_tokens"),
        func.sum(c.output_tokens).label("output_tokens"),
        func.sum(c.cache_read_tokens).label("cache_read_tokens"),
        func.sum(c.cache_creation_tokens + c.cache_creation_long_tokens).label(
            "cache_creation_tokens"
        ),
        func.sum(c.cost).label("cost"),
        func.sum(case((unpriced, 1), else_=0)).label("unpriced"),
        func.sum(case((c.error != "", 1), else_=0)).label("errors"),
    ]


def _by_noun(noun: Any, id_column: Column[Any], name_column: Column[Any]) -> Select[Any]:
    """Group by a noun's id, under the name it has now, else the one its rows remember."""
    name = func.coalesce(noun.c.name, func.max(name_column)).label("name")
    return (
        select(name, id_column.label("id"), *_sums())
        .select_from(usage.outerjoin(noun, noun.c.id == id_column))
        .group_by(id_column, noun.c.name)
    )


def _by_model() -> Select[Any]:
    nobody = literal(None, BigInteger).label("id")
    return select(usage.c.model.label("name"), nobody, *_sums()).group_by(usage.c.model)


def _by_quarter() -> Select[Any]:
    quarter = (type_coerce(usage.c.started_at, BigInteger) // _QUARTER_MS).label("quarter")
    return select(quarter, *_sums()).group_by(quarter).order_by(quarter)


_SELECTS: dict[By, Select[Any]] = {
    "key": _by_noun(tables.api_keys, usage.c.key_id, usage.c.key_name),
    "account": _by_noun(tables.accounts, usage.c.account_id, usage.c.account_name),
    "model": _by_model(),
    "day": _by_quarter(),
}


def _summary(row: Row[Any], name: str, noun_id: int | None) -> UsageSummary:
    return UsageSummary(
        name=name,
        requests=row.requests,
        input_tokens=int(row.input_tokens or 0),
        output_tokens=int(row.output_tokens or 0),
        cache_read_tokens=int(row.cache_read_tokens or 0),
        cache_creation_tokens=int(row.cache_creation_tokens or 0),
        cost=None if row.cost is None else int(row.cost),
        unpriced=int(row.unpriced or 0),
        errors=int(row.errors or 0),
        id=noun_id,
    )


def _by_day(quarters: Sequence[Row[Any]], zone: tzinfo) -> list[UsageSummary]:
    days: dict[str, UsageSummary] = {}
    for row in quarters:
        start = datetime.fromtimestamp(row.quarter * _QUARTER_MS / 1000, UTC)
        day = start.astimezone(zone).date().isoformat()
        part = _summary(row, day, None)
        days[day] = _added(days[day], part) if day in days else part
    return list(days.values())


def _added(one: UsageSummary, other: UsageSummary) -> UsageSummary:
    costs = [cost for cost in (one.cost, other.cost) if cost is not None]
    return UsageSummary(
        name=one.name,
        requests=one.requests + other.requests,
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        cache_read_tokens=one.cache_read_tokens + other.cache_read_tokens,
        cache_creation_tokens=one.cache_creation_tokens + other.cache_creation_tokens,
        cost=sum(costs) if costs else None,
        unpriced=one.unpriced + other.unpriced,
        errors=one.errors + other.errors,
    )


def _costliest_first(each: UsageSummary) -> tuple[int, int, str]:
    return (-(each.cost or 0), -each.requests, each.name)
