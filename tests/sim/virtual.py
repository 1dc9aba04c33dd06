"""Time that passes only when nobody has anything to do: a day of asyncio in minutes."""

from __future__ import annotations

import asyncio
import random
import selectors
from typing import Any

from sub2api.clock import Clock

START = 1_764_028_800.0
"""When every simulation begins: midnight, in seconds since 1970."""


class _Waiting(selectors.DefaultSelector):
    """Where the loop would sleep, its time jumps to the next timer instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("nothing is left to wait for: the simulation would stand for ever")
        if not ready:
            self.now += timeout or 0.0
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An ordinary loop with a time of its own. No threads, no sockets: they take real time."""

    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._waiting.now


class VirtualClock(Clock):
    """The loop's time, and chance that repeats itself for the same seed."""

    def __init__(self, loop: VirtualLoop, seed: int) -> None:
        self.monotonic = loop.time  # type: ignore[method-assign]
        self.now = lambda: START + loop.time()  # type: ignore[method-assign]
        self._random = random.Random(seed)

    def chance(self) -> float:
        return self._random.random()
