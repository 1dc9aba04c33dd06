"""What the tests of updates share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.updates.releases import Desk, Releases, release_server


@pytest.fixture
def releases() -> Iterator[Releases]:
    with release_server() as server:
        yield server


@pytest.fixture
def desk(tmp_path: Path, releases: Releases) -> Desk:
    return Desk(tmp_path, releases)
