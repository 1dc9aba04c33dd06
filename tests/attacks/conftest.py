"""`make attacks` runs these; `make test` leaves them out: they take minutes, and a quiet core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Only who names this folder gets it."""
    return None if any("attacks" in each for each in config.args) else True


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The honest clients must not be the slow part."""
    return {"uvloop": uvloop.new_event_loop}
