"""A whole gateway over real sockets: scripted vendor, SQLite, journal, Hypercorn."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sub2api import wiring
from sub2api.clock import Clock
from sub2api.demo.upstream import DemoUpstream
from sub2api.gateway.parts import Parts
from sub2api.gateway.pipeline import Pipeline
from sub2api.identity.api_keys import ApiKeys
from sub2api.model.accounts import Account, Group
from sub2api.model.callers import ApiKey
from sub2api.model.usage import UsageRow
from sub2api.server.run import serving
from sub2api.settings import Settings, load
from sub2api.store import usage as stored_usage
from sub2api.store.sealing import load_sealer
from sub2api.transport.policy import guard_for
from sub2api.upstream.accounts import Accounts
from sub2api.upstream.groups import Groups

PLATFORMS = ("anthropic", "openai", "gemini")


def settings_for(directory: Path, **environment: str) -> Settings:
    """Return simple mode's settings in a directory of their own."""
    environ = {"RUN_MODE": "simple", "DATA_DIR": str(directory), **environment}
    return load(environ=environ)


@dataclass(slots=True)
class World:
    """A running gateway. `key` is a platform key, `base_url` where it listens."""

    settings: Settings
    parts: Parts
    upstream: DemoUpstream
    base_url: str
    key: str
    _sealer: Any = field(repr=False)

    @property
    def accounts(self) -> Accounts:
        """The accounts, as an operator manages them."""
        return Accounts(
            self.parts.database, self._sealer, guard_for(self.settings), self.parts.clock
        )

    @property
    def keys(self) -> ApiKeys:
        """The keys, as their owner manages them."""
        return ApiKeys(self.parts.database, self._sealer, self.parts.clock)

    async def add_account(self, platform: str, name: str, **fields: Any) -> Account:
        """Add an account whose credential is its name."""
        account = Account(
            id=0,
            name=name,
            platform=platform,  # type: ignore[arg-type]
            api_key=fields.pop("api_key", name),
            base_url=fields.pop("base_url", self.upstream.base_url),
            **{key: value for key, value in fields.items() if key not in {"groups", "proxy"}},
        )
        added = await self.accounts.add(
            account, proxy=fields.get("proxy"), group_names=fields.get("groups", ())
        )
        await wiring.refresh(self.parts)
        return added

    async def change_account(self, name: str, **changes: Any) -> None:
        """Change an account."""
        await self.accounts.change(name, changes)
        await wiring.refresh(self.parts)

    async def add_key(self, name: str, groups: Sequence[str] = (), **fields: Any) -> str:
        """Add a key; return its text."""
        blank = ApiKey(id=0, user_id=0, name=name, hint="", **fields)
        _, text = await self.keys.create(blank, groups=tuple(groups))
        await wiring.refresh(self.parts)
        return text

    async def add_group(self, name: str, platform: str, **fields: Any) -> None:
        """Add a group."""
        group = Group(id=0, name=name, platform=platform, **fields)  # type: ignore[arg-type]
        await Groups(self.parts.database, self.parts.clock).add(group)
        await wiring.refresh(self.parts)

    async def rows(self, expected: int, seconds: float = 10.0) -> list[UsageRow]:
        """Return the usage rows, newest first, once there are as many as expected."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            async with self.parts.database.reading() as connection:
                rows = await stored_usage.recent(connection, 100_000)
            if len(rows) >= expected or asyncio.get_running_loop().time() > deadline:
                assert len(rows) == expected, [(row.call_id, row.error) for row in rows][:20]
                return rows
            await asyncio.sleep(0.02)


@asynccontextmanager
async def listening(parts: Parts) -> AsyncIterator[str]:
    """Serve the parts on a free port of loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with serving(Pipeline(parts), [listener]):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def running_world(
    directory: Path,
    upstream: DemoUpstream,
    *,
    bare: bool = False,
    clock: Clock | None = None,
    **environment: str,
) -> AsyncIterator[World]:
    """Run a gateway with an account per platform (unless `bare`) and a key."""
    environment = {"GATEWAY_DISCONNECT": "drain", "SERVER_DRAIN_SECONDS": "2", **environment}
    settings = settings_for(directory, **environment)
    async with wiring.running(settings, clock or Clock()) as parts, listening(parts) as base_url:
        world = World(settings, parts, upstream, base_url, "", load_sealer(settings))
        existing = await world.keys.everything()
        world.key = (
            await world.keys.reveal(existing[0].name) if existing else await world.add_key("tests")
        )
        if not bare and not await world.accounts.everything():
            for platform in PLATFORMS:
                await world.add_account(platform, f"{platform}-1")
        yield world


@pytest.fixture
async def upstream() -> AsyncIterator[DemoUpstream]:
    """The scripted vendor."""
    server = DemoUpstream()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(params=["express", "web app"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: DemoUpstream
) -> AsyncIterator[World]:
    """A gateway with one account per platform, draining when clients leave; by both ways in."""
    express = "true" if request.param == "express" else "false"
    async with running_world(tmp_path, upstream, SERVER_EXPRESS_LANE=express) as running:
        yield running
