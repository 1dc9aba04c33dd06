"""Clocks that tests set."""

from __future__ import annotations

import time

from sub2api.clock import Clock


class ShiftedClock(Clock):
    """The machine's time, moved by `shift` seconds: deadlines come when a test wants them to."""

    def __init__(self) -> None:
        self.shift = 0.0
        self.now = lambda: time.time() + self.shift  # type: ignore[method-assign,assignment]


class StandingClock(Clock):
    """A clock that stands at `at` (seconds since 1970) until a test moves it."""

    def __init__(self, at: float = 1_790_000_000.0) -> None:
        self.at = at
        self.now = lambda: self.at  # type: ignore[method-assign,assignment]
        self.monotonic = lambda: self.at  # type: ignore[method-assign,assignment]
