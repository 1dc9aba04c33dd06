"""Health as the store keeps it: rests, usage windows, and accounts that are out of use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sub2api.model.health import Cooldown, UsageWindow
from sub2api.store import accounts, health
from sub2api.store.database import Database
from sub2api.upstream.health_records import Changes


class StoredHealth:
    """The `Records` of a process that has a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cooldowns(self) -> Sequence[Cooldown]:
        """Return all rests. Raises StoreError."""
        async with self._database.reading() as connection:
            return await health.cooldowns(connection)

    async def windows(self) -> Mapping[int, tuple[UsageWindow, ...]]:
        """Return the usage windows of all accounts, by account id. Raises StoreError."""
        async with self._database.reading() as connection:
            return await health.windows(connection)

    async def save(self, changes: Changes) -> None:
        """Write changes in one transaction. Raises StoreError."""
        async with self._database.transaction() as connection:
            await health.save_cooldowns(connection, changes.cooldowns)
            for account_id, windows in sorted(changes.windows.items()):
                await health.save_windows(connection, account_id, windows)
            for account_id, message in sorted(changes.out_of_use.items()):
                await accounts.put_out_of_use(connection, account_id, message)
