"""A database per test, in SQLite and in Postgres, and a sealer.

A test that takes `url` or `database` runs on both: `url` alone names one that is empty. Those of
one kind only take `sqlite_url` or `postgres_url`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sub2api.store.database import Database
from sub2api.store.migrate import migrate
from sub2api.store.sealing import Sealer
from tests.fakes.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, to be copied: migrating for every test would take its time."""
    path = tmp_path_factory.mktemp("migrated") / "sub2api.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = tmp_path / "data" / "sub2api.db"
    if "database" in request.fixturenames:
        path.parent.mkdir(mode=0o700)
        shutil.copy(request.getfixturevalue("migrated_file"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[str]:
    if "database" in request.fixturenames:
        yield request.getfixturevalue("migrated_url")
        return
    name = postgres_server.new_database()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = await Database.open(url)
    yield opened
    await opened.close()


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(bytes(range(32)))
