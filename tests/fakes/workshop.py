"""A migrated store and the rules over it, without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sub2api import wiring
from sub2api.clock import Clock
from sub2api.identity.api_keys import ApiKeys
from sub2api.store.database import Database
from sub2api.store.sealing import Sealer
from sub2api.transport.url_guard import Guard, Policy
from sub2api.upstream.accounts import Accounts
from sub2api.upstream.groups import Groups
from sub2api.upstream.proxies import Proxies
from tests.fakes.world import settings_for


@dataclass(slots=True)
class Workshop:
    """The rule rooms."""

    database: Database
    sealer: Sealer
    clock: Clock
    accounts: Accounts
    groups: Groups
    proxies: Proxies
    keys: ApiKeys


@pytest.fixture
async def workshop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """A store in a directory of its own."""
    database, sealer = await wiring.open_store(settings_for(tmp_path))
    clock = Clock()
    guard = Guard(Policy(allow_loopback_http=True))
    yield Workshop(
        database,
        sealer,
        clock,
        Accounts(database, sealer, guard, clock),
        Groups(database, clock),
        Proxies(database, sealer, clock),
        ApiKeys(database, sealer, clock),
    )
    await database.close()
