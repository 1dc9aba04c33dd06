"""The cycle collector passes over what stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from sub2api.server import memory


@pytest.fixture
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("thresholds")
def test_what_is_there_is_not_looked_at_again() -> None:
    memory.settle()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] == 20_000
