"""Statements on how accounts fare: their rests, and what vendors said of their usage windows.

None of it is configuration: writing here does not move the configuration stamp.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sub2api.model.health import Cooldown, UsageWindow
from sub2api.store import rows, tables

rests = tables.account_rests
usage_windows = tables.account_windows
accounts = tables.accounts


async def cooldowns(connection: AsyncConnection) -> list[Cooldown]:
    """Return every rest of the live accounts, those that are over too."""
    statement = (
        select(*[rests.c[field] for field in Cooldown.__struct_fields__])
        .join(accounts, accounts.c.id == rests.c.account_id)
        .where(rows.is_live(accounts))
        .order_by(rests.c.account_id, rests.c.model)
    )
    return [Cooldown(**row) for row in (await connection.execute(statement)).mappings()]


async def save_cooldowns(connection: AsyncConnection, rows: Sequence[Cooldown]) -> None:
    """Keep rests, each in place of what was known of its account and model.

    Of two for the same place the last one counts.
    """
    last = {(each.account_id, each.model): each for each in rows}
    values = [msgspec.structs.asdict(last[place]) for place in sorted(last)]
    await _upsert(connection, rests, values, ("account_id", "model"))


async def windows(connection: AsyncConnection) -> dict[int, tuple[UsageWindow, ...]]:
    """Return the live accounts' usage windows by account id, in the order of their names."""
    statement = (
        select(
            usage_windows.c.account_id,
            *[usage_windows.c[field] for field in UsageWindow.__struct_fields__],
        )
        .join(accounts, accounts.c.id == usage_windows.c.account_id)
        .where(rows.is_live(accounts))
        .order_by(usage_windows.c.account_id, usage_windows.c.name)
    )
    found: dict[int, tuple[UsageWindow, ...]] = {}
    for account_id, *fields in (await connection.execute(statement)).all():
        found[account_id] = (*found.get(account_id, ()), UsageWindow(*fields))
    return found


async def save_windows(
    connection: AsyncConnection, account_id: int, windows: Sequence[UsageWindow]
) -> None:
    """Keep what a vendor said of an account's windows; those it did not mention stay."""
    last = {each.name: each for each in windows}
    values = [
        {"account_id": account_id, **msgspec.structs.asdict(last[name])} for name in sorted(last)
    ]
    await _upsert(connection, usage_windows, values, ("account_id", "name"))


async def _upsert(
    connection: AsyncConnection,
    table: Table,
    values: Sequence[dict[str, object]],
    key: tuple[str, ...],
) -> None:
    if not values:
        return
    statement = rows.insert_into(connection, table)
    changed = {
        column.name: statement.excluded[column.name] for column in table.c if column.name not in key
    }
    await connection.execute(
        statement.on_conflict_do_update(index_elements=key, set_=changed), list(values)
    )
