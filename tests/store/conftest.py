"""A migrated SQLite file per test, and a sealer."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sub2api.store.database import Database
from sub2api.store.engine import sqlite_path
from sub2api.store.migrate import migrate
from sub2api.store.sealing import Sealer


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file, to be copied: migrating for every test would take its time."""
    path = tmp_path_factory.mktemp("migrated") / "sub2api.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'data' / 'sub2api.db'}"


@pytest.fixture
async def database(url: str, migrated: Path) -> AsyncIterator[Database]:
    path = sqlite_path(url)
    path.parent.mkdir(mode=0o700)
    shutil.copy(migrated, path)
    opened = await Database.open(url)
    yield opened
    await opened.close()


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(bytes(range(32)))
