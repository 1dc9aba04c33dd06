"""A body on its way in is counted, and must keep coming."""

from __future__ import annotations

from pathlib import Path

import pytest

from sub2api.clock import Clock
from sub2api.errors import ClientError
from sub2api.gateway.bodies import PACE_BYTES, PACE_SECONDS
from sub2api.server.arrival import Arrival
from tests.server.lanes import Echo


class FakeLane:
    def __init__(self, directory: Path) -> None:
        self.pipeline = Echo(directory)
        self.clock = Clock()


async def test_what_has_come_is_held_until_it_is_let_go(tmp_path: Path) -> None:
    lane = FakeLane(tmp_path)
    arrival = Arrival(lane)  # type: ignore[arg-type]
    first = arrival.begins()
    assert arrival.under_way
    assert arrival.got(100) == first, "too little to earn more time"
    assert arrival.got(PACE_BYTES) > first
    assert first - lane.clock.monotonic() <= PACE_SECONDS
    arrival.ends()
    assert not arrival.under_way
    assert (arrival.held, lane.pipeline.bodies.held) == (100 + PACE_BYTES, 100 + PACE_BYTES)
    arrival.let_go()
    assert (arrival.held, lane.pipeline.bodies.held) == (0, 0)


async def test_what_is_too_much_counts_until_it_is_let_go(tmp_path: Path) -> None:
    lane = FakeLane(tmp_path)
    arrival = Arrival(lane)  # type: ignore[arg-type]
    arrival.begins()
    with pytest.raises(ClientError, match="too many large requests"):
        arrival.got(1 << 40)
    arrival.let_go()
    assert lane.pipeline.bodies.held == 0
