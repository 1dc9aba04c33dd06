"""What a command works in: settings, the migrated store, the key to its secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from sub2api.clock import Clock
from sub2api.errors import SettingsError
from sub2api.identity.api_keys import ApiKeys
from sub2api.identity.users import Owner
from sub2api.settings import Settings, load
from sub2api.store.database import Database
from sub2api.store.sealing import Sealer
from sub2api.transport.policy import guard_for
from sub2api.upstream.accounts import Accounts
from sub2api.upstream.error_rules import ErrorRules
from sub2api.upstream.groups import Groups
from sub2api.upstream.proxies import Proxies

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workspace:
    """An open installation."""

    settings: Settings
    clock: Clock
    database: Database
    sealer: Sealer

    @property
    def accounts(self) -> Accounts:
        """The accounts."""
        return Accounts(self.database, self.sealer, guard_for(self.settings), self.clock)

    @property
    def groups(self) -> Groups:
        """The groups."""
        return Groups(self.database, self.clock)

    @property
    def error_rules(self) -> ErrorRules:
        """The error rules."""
        return ErrorRules(self.database)

    @property
    def owner(self) -> Owner:
        """Simple mode's one user."""
        return Owner(self.database, self.clock)

    @property
    def proxies(self) -> Proxies:
        """The proxies."""
        return Proxies(self.database, self.sealer, self.clock)

    @property
    def keys(self) -> ApiKeys:
        """The API keys."""
        return ApiKeys(self.database, self.sealer, self.clock)


def settings_of(ctx: click.Context, **overrides: Any) -> Settings:
    """Return the settings a command runs with.

    Where no mode is configured but the data directory already holds a local gateway, it is simple
    mode. Raises SettingsError.
    """
    wanted = dict(overrides)
    if ctx.obj["data_dir"]:
        wanted["data_dir"] = ctx.obj["data_dir"]
    try:
        return load(config_file=ctx.obj["config"], overrides=wanted)
    except SettingsError:
        if "run_mode" in wanted:
            raise
        assumed = load(config_file=ctx.obj["config"], overrides={**wanted, "run_mode": "simple"})
        if not (assumed.data_dir / "sub2api.db").exists():
            raise
        return assumed


def in_workspace(
    ctx: click.Context, work: Callable[[Workspace], Awaitable[T]], **overrides: Any
) -> T:
    """Open the installation, do the work, close it."""
    # Imported here: the store's libraries take a third of a second that `--help` need not pay.
    from sub2api import wiring

    settings = settings_of(ctx, **overrides)

    async def whole() -> T:
        database, sealer = await wiring.open_store(settings)
        try:
            return await work(Workspace(settings, Clock(), database, sealer))
        finally:
            await database.close()

    return asyncio.run(whole())
