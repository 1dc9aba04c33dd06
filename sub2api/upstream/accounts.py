"""The rules of accounts: what an operator may make, change and remove."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sub2api.clock import Clock
from sub2api.errors import MistakeError
from sub2api.model.accounts import PLATFORM_NAMES, Account
from sub2api.model.health import Cooldown, UsageWindow
from sub2api.store import accounts as stored
from sub2api.store import health
from sub2api.store.database import Database
from sub2api.store.sealing import Sealer
from sub2api.transport.url_guard import Guard
from sub2api.upstream import groups, proxies
from sub2api.upstream.account_limits import check_account_limits
from sub2api.upstream.names import checked_name

_API_KEY_PLATFORMS = ("anthropic", "openai", "gemini")


class Accounts:
    """Accounts as an operator manages them. Every mistake is a MistakeError with a way out."""

    def __init__(self, database: Database, sealer: Sealer, guard: Guard, clock: Clock) -> None:
        self._database = database
        self._sealer = sealer
        self._guard = guard
        self._clock = clock

    async def add(
        self, account: Account, *, proxy: str | None = None, group_names: tuple[str, ...] = ()
    ) -> Account:
        """Add an account (its id, proxy and groups are taken from the other arguments)."""
        self._check(dataclasses.asdict(account))
        if not account.api_key:
            raise MistakeError("an account needs its API key")
        async with self._database.transaction() as connection:
            group_ids = await groups.ids_of(connection, group_names, account.platform)
            through = await proxies.find_or_add(connection, self._sealer, proxy) if proxy else None
            new = dataclasses.replace(
                account,
                base_url=account.base_url.rstrip("/"),
                proxy=through,
                group_ids=group_ids,
                created_at=self._clock.now(),
            )
            account_id = await stored.insert(connection, self._sealer, new)
        return dataclasses.replace(new, id=account_id)

    async def everything(self) -> list[Account]:
        """Return all accounts in the order they were made."""
        async with self._database.reading() as connection:
            return await stored.everything(connection, self._sealer)

    async def find(self, name_or_id: str) -> Account:
        """Return the account of that name or id."""
        async with self._database.reading() as connection:
            found = await stored.find(connection, self._sealer, name_or_id)
        if found is None:
            raise MistakeError(
                f"there is no account {name_or_id!r}: `sub2api account list` shows those there are"
            )
        return found

    async def change(
        self,
        name_or_id: str,
        changes: Mapping[str, Any],
        *,
        proxy: str | None = None,
        group_names: tuple[str, ...] | None = None,
    ) -> Account:
        """Change fields, named as in `Account`. `proxy` "" means direct; None leaves it."""
        account = await self.find(name_or_id)
        changed = dict(changes)
        self._check(changed)
        if "base_url" in changed:
            changed["base_url"] = changed["base_url"].rstrip("/")
        async with self._database.transaction() as connection:
            if group_names is not None:
                ids = await groups.ids_of(connection, group_names, account.platform)
                changed["group_ids"] = ids
            if proxy is not None:
                through = (
                    await proxies.find_or_add(connection, self._sealer, proxy) if proxy else None
                )
                changed["proxy_id"] = through.id if through else None
            await stored.change(connection, self._sealer, account.id, changed)
        return await self.find(str(changed.get("name", account.name)))

    async def remove(self, name_or_id: str) -> Account:
        """Remove an account; its credential is wiped, its usage stays."""
        account = await self.find(name_or_id)
        async with self._database.transaction() as connection:
            await stored.delete(connection, account.id, now=self._clock.now())
        return account

    async def names(self) -> dict[int, str]:
        """Return the accounts' names by id."""
        async with self._database.reading() as connection:
            return {found: name for found, name, _ in await stored.named(connection)}

    async def rests(self) -> dict[int, tuple[Cooldown, ...]]:
        """Return the rests that run now, by account id; what was cleared is not among them."""
        now = self._clock.now()
        async with self._database.reading() as connection:
            cleared = await stored.cleared_at(connection)
            found = await health.cooldowns(connection)
        running: dict[int, tuple[Cooldown, ...]] = {}
        for each in found:
            if now < each.until and each.since >= cleared.get(each.account_id, 0.0):
                running[each.account_id] = (*running.get(each.account_id, ()), each)
        return running

    async def windows(self) -> dict[int, tuple[UsageWindow, ...]]:
        """Return what vendors last said of their usage windows, by account id."""
        async with self._database.reading() as connection:
            return await health.windows(connection)

    async def clear_cooldown(self, name_or_id: str) -> tuple[Account, tuple[Cooldown, ...]]:
        """Make every rest of an account void, in every process; return those that were running.

        Nothing is deleted: rests that began before this moment no longer count.
        """
        account = await self.find(name_or_id)
        running = (await self.rests()).get(account.id, ())
        async with self._database.transaction() as connection:
            await stored.change(
                connection, self._sealer, account.id, {"cleared_at": self._clock.now()}
            )
        return account, running

    def _check(self, fields: Mapping[str, Any]) -> None:
        if "name" in fields:
            checked_name(fields["name"], "an account")
        platform = fields.get("platform", "anthropic")
        if platform not in PLATFORM_NAMES:
            raise MistakeError(
                f"unknown platform {platform!r}: use {', '.join(_API_KEY_PLATFORMS)}"
            )
        if platform not in _API_KEY_PLATFORMS:
            raise MistakeError(f"{platform} has no API keys: its logins are not served yet")
        if min(int(fields.get("concurrency", 0)), int(fields.get("priority", 0))) < 0:
            raise MistakeError("concurrency and priority must be 0 or more")
        check_account_limits(fields)
        _check_credential(fields.get("api_key", ""))
        if fields.get("base_url"):
            self._guard.check(fields["base_url"])
            if "?" in fields["base_url"]:
                raise MistakeError("Invalid base URL: it must not contain a query (?...)")


def _check_credential(api_key: str) -> None:
    if api_key != api_key.strip() or not api_key.isascii() or not api_key.isprintable():
        raise MistakeError("the API key contains spaces or characters that no key has")
