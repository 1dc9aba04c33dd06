"""Live state under test: in memory, and in a real Redis."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from sub2api.clock import Clock
from sub2api.live.interfaces import Live
from sub2api.live.memory import MemoryLive
from sub2api.live.redis import RedisLive
from tests.fakes.redis_server import RedisServer, running_redis

_prefixes = (f"test{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def prefix() -> str:
    return next(_prefixes)


@pytest.fixture
async def shared(redis_server: RedisServer, prefix: str) -> AsyncIterator[RedisLive]:
    live = RedisLive(redis_server.url, Clock(), prefix=prefix)
    await live.start()
    yield live
    await live.close()


@pytest.fixture
async def other(redis_server: RedisServer, prefix: str) -> AsyncIterator[RedisLive]:
    """Another process on the same Redis."""
    live = RedisLive(redis_server.url, Clock(), prefix=prefix)
    await live.start()
    yield live
    await live.close()


@pytest.fixture(params=["memory", "redis"])
async def live(
    request: pytest.FixtureRequest, prefix: str, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Live]:
    """Live state of either kind; Redis must have been used to the end."""
    made: Live = MemoryLive(Clock())
    if request.param == "redis":
        made = RedisLive(request.getfixturevalue("redis_server").url, Clock(), prefix=prefix)
    await made.start()
    yield made
    await made.close()
    assert "Redis" not in caplog.text
