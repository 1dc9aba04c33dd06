"""Live state of one process, in memory. Everything happens on one event loop: no locks."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from sub2api.clock import Clock
from sub2api.live.interfaces import Entry, Granted, Refused, Slot


@dataclass(slots=True)
class _Holding:
    caller: tuple[Slot, ...]
    candidate: Slot | None


@dataclass(slots=True, eq=False)
class _Waiter:
    entry: Entry
    since: float
    decided: asyncio.Future[Granted] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class MemoryLive:
    """Slots with fair waiting: queues take turns, inside a queue first come is first served."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._active: dict[str, int] = {}
        self._holdings: dict[str, _Holding] = {}
        self._queues: dict[str, deque[_Waiter]] = {}
        self._waiting: dict[str, int] = {}

    async def enter(self, entry: Entry) -> Granted | Refused:
        """Take all places the entry asks for, or none (see `Live.enter`)."""
        # Room that is free now is room nobody who waits could use: `_wake` ran at every release.
        candidate = self._take(entry)
        if candidate is not None:
            return Granted(candidate, 0.0)
        full = self._what_is_full(entry)
        queue = self._queues.get(entry.queue)
        if entry.wait <= 0 or (queue is not None and len(queue) >= entry.max_waiting):
            return Refused(full, queue_full=True)
        return await self._wait(entry, full)

    async def _wait(self, entry: Entry, full: str) -> Granted | Refused:
        waiter = _Waiter(entry, self._clock.monotonic())
        self._queues.setdefault(entry.queue, deque()).append(waiter)
        self._count_waiting(entry, 1)
        try:
            async with asyncio.timeout(entry.wait):
                return await waiter.decided
        except TimeoutError:
            if waiter.decided.done() and not waiter.decided.cancelled():
                return waiter.decided.result()  # granted in the very turn the time ran out
            return Refused(full, queue_full=False)
        except asyncio.CancelledError:
            # Granted in the very turn it was cancelled: nobody else will give the places back.
            if waiter.decided.done() and not waiter.decided.cancelled():
                await self.leave(entry.call_id)
            raise
        finally:
            self._forget(waiter)

    async def swap(self, call_id: str, candidates: tuple[Slot, ...]) -> Granted | Refused:
        """Give up the call's candidate and take another's place without waiting."""
        holding = self._holdings.get(call_id)
        if holding is None:
            holding = self._holdings[call_id] = _Holding((), None)
        if holding.candidate is not None:
            self._release(holding.candidate)
            holding.candidate = None
        for index, slot in enumerate(candidates):
            if self._has_room(slot):
                self._hold(slot)
                holding.candidate = slot
                self._wake()
                return Granted(index, 0.0)
        self._wake()
        return Refused(candidates[0].name if candidates else "", queue_full=False)

    async def leave(self, call_id: str, *, only_caller: bool = False) -> None:
        """Give back what the call holds (or only its caller's places)."""
        holding = self._holdings.get(call_id)
        if holding is None:
            return
        for slot in holding.caller:
            self._release(slot)
        holding.caller = ()
        if not only_caller:
            if holding.candidate is not None:
                self._release(holding.candidate)
            del self._holdings[call_id]
        if self._queues:
            self._wake()

    def load(self, name: str) -> tuple[int, int]:
        """Return (active, waiting) for a slot name."""
        return self._active.get(name, 0), self._waiting.get(name, 0)

    def _take(self, entry: Entry) -> int | None:
        """Take everything for the entry; return the candidate's index (-1: none), None if full."""
        active = self._active
        for slot in entry.caller_slots:
            if 0 < slot.limit <= active.get(slot.name, 0):
                return None
        chosen, candidate = -1, None
        for index, slot in enumerate(entry.candidates):
            if not 0 < slot.limit <= active.get(slot.name, 0):
                chosen, candidate = index, slot
                active[slot.name] = active.get(slot.name, 0) + 1
                break
        else:
            if entry.candidates:
                return None
        for slot in entry.caller_slots:
            active[slot.name] = active.get(slot.name, 0) + 1
        self._holdings[entry.call_id] = _Holding(entry.caller_slots, candidate)
        return chosen

    def _what_is_full(self, entry: Entry) -> str:
        for slot in entry.caller_slots:
            if not self._has_room(slot):
                return slot.name
        return entry.candidates[0].name if entry.candidates else entry.queue

    def _wake(self) -> None:
        """Let waiting calls in: one per queue and round, until a round lets nobody in."""
        progress = bool(self._queues)
        while progress:
            progress = False
            for name in list(self._queues):
                if self._wake_one(name):
                    progress = True

    def _wake_one(self, name: str) -> bool:
        for waiter in self._queues[name]:
            if waiter.decided.done():
                continue
            candidate = self._take(waiter.entry)
            if candidate is not None:
                waited = self._clock.monotonic() - waiter.since
                waiter.decided.set_result(Granted(candidate, waited))
                # The queue that was served goes to the back of the round.
                self._queues[name] = self._queues.pop(name)
                return True
        return False

    def _forget(self, waiter: _Waiter) -> None:
        self._count_waiting(waiter.entry, -1)
        queue = self._queues.get(waiter.entry.queue)
        if queue is None:
            return
        if waiter in queue:
            queue.remove(waiter)
        if not queue:
            del self._queues[waiter.entry.queue]

    def _count_waiting(self, entry: Entry, change: int) -> None:
        for slot in entry.candidates:
            waiting = self._waiting.get(slot.name, 0) + change
            if waiting:
                self._waiting[slot.name] = waiting
            else:
                self._waiting.pop(slot.name, None)

    def _has_room(self, slot: Slot) -> bool:
        return slot.limit <= 0 or self._active.get(slot.name, 0) < slot.limit

    def _hold(self, slot: Slot) -> None:
        self._active[slot.name] = self._active.get(slot.name, 0) + 1

    def _release(self, slot: Slot) -> None:
        active = self._active
        left = active[slot.name] - 1
        if left:
            active[slot.name] = left
        else:
            del active[slot.name]
