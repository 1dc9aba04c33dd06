"""Statements on price overrides: an operator's own prices, with the dates they hold for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.store import rows
from sub2api.store.tables import price_overrides


@dataclass(frozen=True, slots=True)
class PriceOverride:
    """Prices of one model (`model` may end in `*`) from `valid_from` up to `valid_until`.

    `prices` maps a price class to whole nanodollars per million tokens. Times are seconds since
    1970; `valid_until` None is open-ended.
    """

    id: int
    model: str
    prices: dict[str, Any]
    valid_from: float
    valid_until: float | None = None
    created_at: float = 0.0


async def insert(connection: AsyncConnection, override: PriceOverride) -> int:
    """Insert an override (its `id` is ignored) and return its id."""
    values = {
        "model": override.model,
        "prices": override.prices,
        "valid_from": override.valid_from,
        "valid_until": override.valid_until,
        "created_at": override.created_at,
    }
    return await rows.insert_row(connection, price_overrides, values)


async def everything(connection: AsyncConnection) -> list[PriceOverride]:
    """Return all overrides, past and future too, in the order they were made."""
    found = await connection.execute(select(price_overrides).order_by(price_overrides.c.id))
    return [PriceOverride(**row) for row in found.mappings()]


async def delete(connection: AsyncConnection, override_id: int) -> bool:
    """Delete an override; rows priced with it keep their prices. Return whether there was one."""
    statement = price_overrides.delete().where(price_overrides.c.id == override_id)
    return (await connection.execute(statement)).rowcount > 0
