"""What the transport's tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sub2api.transport.pool import Pool
from tests.transport.peers import Authority, pooling


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder: Path = tmp_path_factory.mktemp("certificates")
    return Authority(folder)


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with pooling() as made:
        yield made
