"""The rules of users. Simple mode has one, the owner: what everything together may use."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec

from sub2api.clock import Clock
from sub2api.identity.spent import Spent, spent_of
from sub2api.model.callers import User
from sub2api.model.limits import check_amount, check_limits
from sub2api.store import users as stored
from sub2api.store.database import Database


class Owner:
    """The owner's limits. Every mistake is a MistakeError that says what to do."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find(self) -> User:
        """Return the owner, made if this is the first time anyone asks."""
        async with self._database.transaction() as connection:
            return await stored.ensure_owner(connection, now=self._clock.now())

    async def change(self, changes: Mapping[str, Any]) -> User:
        """Change `concurrency` and single limits, named as in `Limits`; what is not given stays."""
        async with self._database.transaction() as connection:
            owner = await stored.ensure_owner(connection, now=self._clock.now())
            limits = {name: value for name, value in changes.items() if name != "concurrency"}
            changed = dataclasses.replace(
                owner,
                concurrency=int(changes.get("concurrency", owner.concurrency)),
                limits=msgspec.structs.replace(owner.limits, **limits),
            )
            check_amount("concurrency", changed.concurrency)
            check_limits(changed.limits)
            await stored.change(
                connection,
                owner.id,
                {"concurrency": changed.concurrency, "limits": changed.limits},
            )
        return changed

    async def spent(self, timezone: str) -> list[Spent]:
        """Return what all keys together spent of the owner's limits; `timezone` has their days."""
        owner = await self.find()
        async with self._database.reading() as connection:
            return await spent_of(connection, owner, now=self._clock.now(), timezone=timezone)
