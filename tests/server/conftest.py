"""Which event loop the tests of this folder run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

try:
    from uvloop import new_event_loop as production_loop
except ImportError:  # there is none on Windows
    from asyncio import new_event_loop as production_loop

ON_THE_LOOP_OF_PRODUCTION = {"test_express", "test_guest_server", "test_handover"}


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Journeys over real sockets run on what `serve` runs on: it matters for half-closed ones."""
    if item.path.stem in ON_THE_LOOP_OF_PRODUCTION:
        return {"production": production_loop}
    return {"asyncio": asyncio.new_event_loop}
