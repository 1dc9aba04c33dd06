"""A process's standing with the shared state: its lease, what it owes, and whether it is away.

A lease of 15 s, renewed every 5 s, stands for everything a process holds. Whoever renews buries
the dead: what a killed process held is free after 20 s at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from sub2api.live.owned import Mine, Owed

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
_TRY_AGAIN_SECONDS = 1.0
_CALLS_AT_ONCE = 500


class Away(Exception):
    """The shared state cannot be reached, or is too slow: go on without it."""


class Link(Protocol):
    """The way to the shared state."""

    async def run(self, operation: str, arguments: Any = ()) -> Any:
        """Run one operation of the script. Raises Away."""
        ...

    async def publish(self, message: bytes) -> None:
        """Tell every process. Raises Away."""
        ...

    async def listen(self, heard: Callable[[bool, bytes], None], ready: Callable[[], None]) -> None:
        """Call `heard(to this process alone, message)` for ever."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class Lease:
    """Asks the shared state, keeps this process registered there, and looks for its return.

    `held` returns all that this process holds there. `turned` is called whenever it has gone away
    or come back.
    """

    def __init__(
        self, link: Link, held: Callable[[], Iterable[Mine]], turned: Callable[[], None]
    ) -> None:
        self.away = False
        self._turned = turned
        self._link = link
        self._held = held
        self._owed = Owed()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._services: list[asyncio.Task[Any]] = []
        self._hears = asyncio.Event()
        self._lost = asyncio.Event()

    async def start(self, heard: Callable[[bool, bytes], None]) -> None:
        """Register this process and begin to listen; without Redis, begin alone."""
        self._services = [
            self.spawn(self._link.listen(heard, self._hears.set)),
            self.spawn(self._keep_alive()),
        ]
        try:
            await self._beat()
            async with asyncio.timeout(_TRY_AGAIN_SECONDS):
                await self._hears.wait()
        except Away as error:
            self.went_away(error)
        except TimeoutError:
            log.info("Redis answers, but does not yet deliver messages")

    async def close(self) -> None:
        """Give back everything this process holds, and stop."""
        for service in self._services:
            service.cancel()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        try:
            await self._link.run("c")
        except Away as error:
            log.info("Redis was not told that this process stops: %s", error)
        await self._link.close()

    async def ask(self, operation: str, arguments: Any = ()) -> Any:
        """Run one operation. Raises Away, and begins to look for the shared state's return."""
        if self.away:
            raise Away("it was away a moment ago")
        try:
            return await self._link.run(operation, arguments)
        except Away as error:
            self.went_away(error)
            raise

    async def tell(self, operation: str, call_id: str, arguments: tuple[Any, ...]) -> bool:
        """Run one operation of a call, now or when the shared state is back; whether now.

        What had to wait may have been done already: only what can be repeated is told so.
        """
        try:
            answer = await self.ask(operation[0], arguments)
        except Away:
            self.owe(operation, call_id, arguments)
            return True
        return bool(answer[0])

    def owe(self, operation: str, call_id: str, arguments: tuple[Any, ...]) -> None:
        """Have an operation run when the shared state is back."""
        self._owed.add(operation, call_id, arguments)

    def went_away(self, error: Away) -> None:
        """Note that the shared state is away."""
        if not self.away:
            self.away = True
            log.warning(
                "Redis cannot be used (%s): this process counts limits for itself until it can. "
                "Look whether it runs and can be reached.",
                error,
            )
            self._lost.set()
            self._turned()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run work beside; `close` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _keep_alive(self) -> None:
        """Renew this process's lease; while the shared state is away, look for its return."""
        while True:
            self._lost.clear()
            if self.away:
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await self._lost.wait()
            try:
                await self._beat()
            except Away as error:
                self.went_away(error)

    async def _beat(self) -> None:
        """Renew the lease, say what is owed, register anew if need be. Raises Away."""
        (registered,) = await self._link.run("b")
        owed = self._owed.commands
        while owed:
            (operation, call_id), arguments = next(iter(owed.items()))
            answer = await self._link.run(operation[0], arguments)
            owed.pop((operation, call_id), None)
            if operation == "l" and answer[0]:
                owed.pop(("k", call_id), None)  # its costs were booked with its holding
        if not registered:
            await self._register()
        if self.away:
            self.away = False
            log.warning("Redis is back: limits are shared again")
            self._turned()

    async def _register(self) -> None:
        """Say what all calls of this process hold. Raises Away."""
        mine = list(self._held())
        for start in range(0, len(mine) or 1, _CALLS_AT_ONCE):
            some = mine[start : start + _CALLS_AT_ONCE]
            complete = int(start + _CALLS_AT_ONCE >= len(mine))
            await self._link.run("r", (complete, *[each.packed() for each in some]))
        still = {id(each) for each in self._held()}
        for each in mine:
            if id(each) not in still:
                # It has left meanwhile, and was perhaps registered after that.
                await self._link.run("l", (each.call_id, -1, 0, 0, 0, 0))

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, Away):
            log.error("a task of live state failed", exc_info=error)
