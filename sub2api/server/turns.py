"""Whose turn it is, among connections that send much: large bodies, or many requests ahead."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

BULK_READ = 65536
"""Bytes at once from which on a connection has to wait for its next turn."""
REST = 7
"""Loop turns after one that begins a request: its work goes on in those."""


class Turns:
    """Lets one connection a loop turn go on: the more there are, the slower is each of them.

    Otherwise every turn would take as long as all of them together keep the loop busy, and calls
    of everybody else take several turns.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Callable[[], None], int]] = deque()
        self._rest = 0
        self._runs = False

    def queue(self, resume: Callable[[], None], rest: int = 0) -> None:
        """Call `resume` when it is this connection's turn; `rest` turns after it are nobody's."""
        self._waiting.append((resume, rest))
        if not self._runs:
            self._runs = True
            self._loop.call_soon(self._next)

    async def come(self, rest: int = 0) -> None:
        """Wait until it is this connection's turn."""
        turn = asyncio.Event()
        self.queue(turn.set, rest)
        await turn.wait()

    def _next(self) -> None:
        if self._rest:
            self._rest -= 1
            resume = _nothing
        else:
            resume, self._rest = self._waiting.popleft()
        if self._waiting or self._rest:
            self._loop.call_soon(self._next)
        else:
            self._runs = False
        resume()


def _nothing() -> None:
    return
