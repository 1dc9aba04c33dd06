"""Statements on failed attempts: what calls tried before the account that their row names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.model.usage import FailedAttempt
from sub2api.store import bulk, tables

attempts = tables.attempts

_FIELDS = tuple(FailedAttempt.__struct_fields__)
_STARTED_AT = _FIELDS.index("started_at")
_COLUMNS = [attempts.c[field] for field in _FIELDS]


async def insert_many(
    connection: AsyncConnection, failed: Mapping[str, Sequence[FailedAttempt]]
) -> None:
    """Insert calls' failed attempts, by call id; those that are known stay. Safe to repeat."""
    rows = [_driver_values(call_id, each) for call_id in sorted(failed) for each in failed[call_id]]
    columns = ("call_id", *_FIELDS)
    await bulk.insert(connection, attempts, columns, rows, "(call_id, position) DO NOTHING")


async def of_call(connection: AsyncConnection, call_id: str) -> list[FailedAttempt]:
    """Return a call's failed attempts in their order."""
    statement = select(*_COLUMNS).where(attempts.c.call_id == call_id)
    found = await connection.execute(statement.order_by(attempts.c.position))
    return [FailedAttempt(**row) for row in found.mappings()]


def _driver_values(call_id: str, attempt: FailedAttempt) -> tuple[Any, ...]:
    values = list(msgspec.structs.astuple(attempt))
    values[_STARTED_AT] = round(values[_STARTED_AT] * 1000)
    return (call_id, *values)
