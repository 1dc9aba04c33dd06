"""A migrated SQLite file per test, and a sealer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sub2api.store.database import Database
from sub2api.store.migrate import migrate
from sub2api.store.sealing import Sealer


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'data' / 'sub2api.db'}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    await migrate(url)
    opened = await Database.open(url)
    yield opened
    await opened.close()


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(bytes(range(32)))
