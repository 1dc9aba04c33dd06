"""The rules of API keys: how they are made, shown and revoked."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from sub2api.clock import Clock
from sub2api.errors import MistakeError
from sub2api.identity.spent import Spent, spent_of
from sub2api.model.callers import ApiKey
from sub2api.model.limits import Limits, check_amount, check_limits
from sub2api.store import api_keys as stored
from sub2api.store import groups as stored_groups
from sub2api.store import users
from sub2api.store.database import Connection, Database
from sub2api.store.sealing import Sealer

PURPOSE = "api key"
_PREFIX = "sk-"
_CUSTOM = re.compile(r"^[A-Za-z0-9_-]{16,128}$")


def digest(text: str) -> str:
    """Return what a key is found by: its SHA-256 in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class ApiKeys:
    """Keys as their owner manages them. Every mistake is a MistakeError that says what to do."""

    def __init__(self, database: Database, sealer: Sealer, clock: Clock) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock

    async def create(
        self, key: ApiKey, *, groups: tuple[str, ...] = (), text: str | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key of the owner's; return it with its text. `text` is the owner's own choice."""
        _check(dataclasses.asdict(key))
        if text is not None and not _CUSTOM.match(text):
            raise MistakeError("a key of your own has 16 to 128 letters, digits, - or _")
        text = text or _PREFIX + secrets.token_urlsafe(32)
        async with self._database.transaction() as connection:
            owner = await users.ensure_owner(connection, now=self._clock.now())
            new = dataclasses.replace(
                key,
                user_id=owner.id,
                hint=f"{text[:6]}…{text[-4:]}",
                group_ids=await _group_ids(connection, groups),
                created_at=self._clock.now(),
            )
            key_id = await stored.insert(
                connection,
                new,
                key_hash=digest(text),
                key_sealed=self._sealer.seal(text, PURPOSE),
            )
        return dataclasses.replace(new, id=key_id), text

    async def everything(self) -> list[ApiKey]:
        """Return all keys, revoked ones too."""
        async with self._database.reading() as connection:
            return await stored.everything(connection)

    async def find(self, name_or_id: str) -> ApiKey:
        """Return the key of that name or id."""
        async with self._database.reading() as connection:
            found = await stored.find(connection, name_or_id)
        if found is None:
            raise MistakeError(
                f"there is no key {name_or_id!r}: `sub2api key list` shows those there are"
            )
        return found

    async def reveal(self, name_or_id: str) -> str:
        """Return a key's text."""
        key = await self.find(name_or_id)
        async with self._database.reading() as connection:
            sealed = await stored.sealed_text(connection, key.id)
        return self._sealer.open(sealed, PURPOSE)

    async def change(
        self, name_or_id: str, changes: Mapping[str, Any], groups: tuple[str, ...] | None = None
    ) -> ApiKey:
        """Change fields, named as in `ApiKey`."""
        key = await self.find(name_or_id)
        if key.status == "revoked":
            raise MistakeError(f"key {key.name!r} is revoked for good: create another")
        fields = dict(changes)
        _check(fields)
        async with self._database.transaction() as connection:
            if groups is not None:
                fields["group_ids"] = await _group_ids(connection, groups)
            await stored.change(connection, key.id, fields)
        return await self.find(str(key.id))

    async def spent(self, key: ApiKey, timezone: str) -> list[Spent]:
        """Return what a key spent of its limits of money and its quota.

        `timezone` has the days.
        """
        async with self._database.reading() as connection:
            return await spent_of(connection, key, now=self._clock.now(), timezone=timezone)

    async def revoke(self, name_or_id: str) -> ApiKey:
        """End a key for good. It stays listed, and its calls are refused."""
        key = await self.find(name_or_id)
        async with self._database.transaction() as connection:
            await stored.change(connection, key.id, {"status": "revoked"})
        return dataclasses.replace(key, status="revoked")


async def _group_ids(connection: Connection, names: Iterable[str]) -> tuple[int, ...]:
    ids = []
    for name in names:
        found = await stored_groups.find(connection, name)
        if found is None:
            known = ", ".join(group.name for group in await stored_groups.everything(connection))
            raise MistakeError(f"there is no group {name!r}; there are: {known or 'none'}")
        ids.append(found.id)
    return tuple(ids)


def _check(fields: Mapping[str, Any]) -> None:
    name = fields.get("name", "-")
    if not name or name != name.strip() or not name.isprintable() or len(name) > 100:
        raise MistakeError(
            "a key's name has 1 to 100 printable characters and no space at its ends"
        )
    if int(fields.get("concurrency", 0)) < 0:
        raise MistakeError("concurrency must be 0 (unlimited) or more")
    check_limits(fields.get("limits", Limits()))
    check_amount("quota", int(fields.get("quota", 0)))
    for text in (*fields.get("ip_allow", ()), *fields.get("ip_deny", ())):
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise MistakeError(f"{text!r} is no IP address or network such as 10.0.0.0/8") from None
