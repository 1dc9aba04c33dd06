"""Whose turn it is, among connections that send much: large bodies, or many requests ahead."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

BULK_READ = 65536
"""Bytes at once from which on a connection has to wait for its next turn."""


class Turns:
    """Lets one connection a loop turn go on: the more there are, the slower is each of them.

    Otherwise every turn would take as long as all of them together keep the loop busy, and calls
    of everybody else take several turns.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Callable[[], None]] = deque()

    def queue(self, resume: Callable[[], None]) -> None:
        """Call `resume` when it is this connection's turn."""
        self._waiting.append(resume)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        resume = self._waiting.popleft()
        if self._waiting:
            self._loop.call_soon(self._next)
        resume()
