"""The rules of groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from sub2api.clock import Clock
from sub2api.errors import MistakeError
from sub2api.model.accounts import PLATFORM_NAMES, Group
from sub2api.model.limits import Limits, check_amount, check_limits
from sub2api.store import groups as stored
from sub2api.store.database import Connection, Database
from sub2api.upstream.model_routes import changed_routes, check_routes
from sub2api.upstream.names import checked_name

_MOST_MULTIPLIER = Decimal(1000)
_LONGEST_FIRST_BYTE = 3600.0


class Groups:
    """Groups as an operator manages them. Every mistake is a MistakeError that says what to do."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def add(
        self, group: Group, *, routes: Mapping[str, Sequence[str]] | None = None
    ) -> Group:
        """Add a group (its id is ignored). `routes` are added to its own, by accounts' names."""
        fields = _checked(dataclasses.asdict(group))
        new = dataclasses.replace(group, **fields, created_at=self._clock.now())
        async with self._database.transaction() as connection:
            routed = await changed_routes(connection, new, routes or {})
            await check_routes(connection, new.platform, routed)
            new = dataclasses.replace(new, model_routes=routed)
            group_id = await stored.insert(connection, new)
        return dataclasses.replace(new, id=group_id)

    async def everything(self) -> list[Group]:
        """Return all groups in the order they were made."""
        async with self._database.reading() as connection:
            return await stored.everything(connection)

    async def find(self, name_or_id: str) -> Group:
        """Return the group of that name or id."""
        async with self._database.reading() as connection:
            found = await stored.find(connection, name_or_id)
        if found is None:
            raise MistakeError(
                f"there is no group {name_or_id!r}: `sub2api group list` shows those there are"
            )
        return found

    async def change(
        self,
        name_or_id: str,
        changes: Mapping[str, Any],
        *,
        routes: Mapping[str, Sequence[str]] | None = None,
    ) -> Group:
        """Change fields, named as in `Group`.

        `routes` go beside the routes there are: a model's new accounts, by name or id, in place of
        those it had; none remove its route.
        """
        group = await self.find(name_or_id)
        fields = {**changes, **_checked(changes)}
        async with self._database.transaction() as connection:
            if routes:
                fields["model_routes"] = await changed_routes(connection, group, routes)
            if "model_routes" in fields:
                platform = fields.get("platform", group.platform)
                await check_routes(connection, platform, fields["model_routes"])
            await stored.change(connection, group.id, fields)
        return await self.find(str(fields.get("name", group.name)))

    async def remove(self, name_or_id: str) -> Group:
        """Remove a group; its accounts and keys stay."""
        group = await self.find(name_or_id)
        async with self._database.transaction() as connection:
            await stored.delete(connection, group.id, now=self._clock.now())
        return group


async def ids_of(
    connection: Connection, names: Iterable[str], platform: str | None = None
) -> tuple[int, ...]:
    """Return the groups' ids, in the order given. Raises MistakeError for one unknown."""
    ids = []
    for name in names:
        found = await stored.find(connection, name)
        if found is None:
            known = ", ".join(group.name for group in await stored.everything(connection))
            raise MistakeError(f"there is no group {name!r}; there are: {known or 'none'}")
        if platform is not None and found.platform != platform:
            raise MistakeError(
                f"group {name!r} is for {found.platform} accounts, not for {platform} ones"
            )
        ids.append(found.id)
    return tuple(ids)


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that need another form. Raises MistakeError."""
    if "name" in fields:
        checked_name(fields["name"], "a group")
    if fields.get("platform", "anthropic") not in PLATFORM_NAMES:
        raise MistakeError(f"unknown platform: use one of {', '.join(PLATFORM_NAMES)}")
    _check_limits(fields)
    if "rate_multiplier" not in fields:
        return {}
    text = str(fields["rate_multiplier"])
    try:
        multiplier = Decimal(text)
    except InvalidOperation:
        raise MistakeError(f"{text!r} is no multiplier: write a number such as 0.85") from None
    if not multiplier.is_finite() or not 0 <= multiplier <= _MOST_MULTIPLIER:
        raise MistakeError(f"a multiplier is between 0 (free) and {_MOST_MULTIPLIER}")
    return {"rate_multiplier": f"{multiplier.normalize():f}"}


def _check_limits(fields: Mapping[str, Any]) -> None:
    check_amount("concurrency", int(fields.get("concurrency", 0)))
    check_limits(fields.get("limits", Limits()))
    seconds = fields.get("first_byte_timeout")
    if seconds is not None and not 0 <= seconds <= _LONGEST_FIRST_BYTE:
        raise MistakeError(
            "the time to the first byte is between 0 (no limit) and "
            f"{_LONGEST_FIRST_BYTE:.0f} seconds"
        )
