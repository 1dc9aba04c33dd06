"""Live state that processes share through a script in Redis, and that does without it for a while.

Every call belongs to one regime: the shared one, or, if that was away when it came in, a private
`MemoryLive`. What could not be said to the shared state meanwhile is said when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from sub2api.clock import Clock
from sub2api.live import wire
from sub2api.live.channels import Channels
from sub2api.live.interfaces import (
    Bound,
    Budget,
    Decision,
    Entry,
    Granted,
    Place,
    Refused,
    Sticky,
    Unfilled,
)
from sub2api.live.lease import Away, Lease, Link
from sub2api.live.memory import MemoryLive
from sub2api.live.owned import Mine
from sub2api.live.picture import Picture
from sub2api.live.remembered import Remembered

MOST_BINDINGS = 65_536
"""Bindings this process remembers."""

_ASK_AGAIN_SECONDS = 1.0
"""How often one that waits asks again, in case the message that let it in was lost."""

_SHORTEST_WAIT = 0.005


class SharedLive:
    """Live state in Redis (see `Live`, which says what each method promises)."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._memory = MemoryLive(clock)
        self._mine: dict[str, Mine] = {}
        self._lease = Lease(link, self._held, self._turned)
        self._waiters: dict[str, asyncio.Future[Any]] = {}
        self._moving: dict[str, asyncio.Task[Any]] = {}
        self._bindings: Remembered[str, int] = Remembered(MOST_BINDINGS)
        self._picture = Picture(clock, self._take_picture)
        self._channels = Channels()

    # -- calls

    async def enter(self, entry: Entry) -> Decision:
        """Take all that the entry asks for, or nothing (see `Live.enter`)."""
        if self._picture.watchers:
            self._picture.look()
        if self._lease.away:
            return await self._enter_alone(entry)
        began = self._clock.monotonic()
        packed = wire.packed_entry(entry)
        decided = asyncio.get_running_loop().create_future()
        self._waiters[entry.call_id] = decided
        try:
            answer = await self._ask_to_enter(entry, (packed, 0, 0, 0))
            waited = 0.0
            if answer[0] == wire.WAITING:
                answer = await self._wait(entry, packed, answer, decided)
                waited = self._clock.monotonic() - began
            return self._entered(entry, answer, waited)
        except Away:
            self._lease.owe("l", entry.call_id, (entry.call_id, -1, 0, 0, 0, 1))
            # Not 0: one whose wait ran out meanwhile gets a ticket, and is not sent away.
            left = max(_SHORTEST_WAIT, entry.wait - (self._clock.monotonic() - began))
            left = min(left, entry.wait)
            return await self._enter_alone(msgspec.structs.replace(entry, wait=left))
        finally:
            del self._waiters[entry.call_id]

    async def swap(
        self, call_id: str, candidates: tuple[Place, ...], sticky: Sticky | None = None
    ) -> Granted | Refused | Unfilled:
        """Give up the call's candidate, take the first free one of others (see `Live.swap`)."""
        if self._lease.away or self._memory.holds(call_id):
            return await self._swap_alone(call_id, candidates, sticky)
        # A task: cancelled half-way it would not be known what the call holds.
        moving = self._lease.spawn(self._swap_shared(call_id, candidates, sticky))
        self._moving[call_id] = moving
        moving.add_done_callback(lambda _: self._moving.pop(call_id, None))
        try:
            return await asyncio.shield(moving)
        except Away:
            return await self._swap_alone(call_id, candidates, sticky)

    async def _swap_shared(
        self, call_id: str, candidates: tuple[Place, ...], sticky: Sticky | None
    ) -> Granted | Refused | Unfilled:
        arguments = (call_id, wire.packed_places(candidates), wire.packed_sticky(sticky))
        answer = await self._lease.ask("s", arguments)
        decision = wire.decision_of(answer)
        if isinstance(decision, Unfilled):
            return decision
        mine = self._mine.setdefault(call_id, Mine(call_id, None))
        if mine.place is not None:
            self._picture.shift(mine.place.slots, -1)
        mine.moved(-1, None)
        if isinstance(decision, Granted):
            mine.moved(decision.candidate, candidates[decision.candidate])
            self._picture.shift(candidates[decision.candidate].slots, 1)
            self._note_binding(sticky, answer[4])
        return decision  # type: ignore[return-value]  # a swap is never answered with Bound

    async def leave(
        self,
        call_id: str,
        *,
        tokens: int | None = None,
        cost: int = 0,
        list_cost: int = 0,
        only_caller: bool = False,
    ) -> None:
        """Give back what the call holds, and book what it used (see `Live.leave`)."""
        moving = self._moving.get(call_id)
        if moving is not None:
            # First things first, and both to the end: else what it moved to would never be free.
            again = functools.partial(
                self.leave, call_id, tokens=tokens, cost=cost, list_cost=list_cost
            )
            await self._surely(_after(moving, again, only_caller))
            return
        mine = self._mine.get(call_id)
        if mine is not None and not only_caller:
            del self._mine[call_id]
        if self._memory.holds(call_id):
            await self._memory.leave(
                call_id, tokens=tokens, cost=cost, list_cost=list_cost, only_caller=only_caller
            )
            if mine is not None and not only_caller:
                await self._book(mine, cost, list_cost)
        elif mine is not None and only_caller:
            self._picture.shift(mine.slots, -1)
            mine.slots = ()
            await self._surely(self._lease.tell("l:caller", call_id, (call_id, -1, 0, 0, 1, 0)))
        elif mine is not None:
            self._picture.shift(mine.all_slots(), -1)
            used = -1 if tokens is None else tokens
            await self._surely(self._leave_shared(mine, used, cost, list_cost))

    async def _leave_shared(self, mine: Mine, tokens: int, cost: int, list_cost: int) -> None:
        away = self._lease.away
        arguments = (mine.call_id, tokens, cost, list_cost, 0, 0)
        found = await self._lease.tell("l", mine.call_id, arguments)
        if away or not found:
            await self._book(mine, cost, list_cost)

    async def _surely(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do it to the end, even if who asked for it is cancelled."""
        await asyncio.shield(self._lease.spawn(work))

    # -- money

    async def fill(self, spent: Mapping[Budget, int], seen: Mapping[str, frozenset[str]]) -> None:
        """Set budgets that were `Unfilled` (see `Live.fill`)."""
        told = [
            (budget.name, stored, budget.expires, tuple(seen.get(budget.name, ())))
            for budget, stored in spent.items()
        ]
        try:
            await self._lease.ask("f", told)
        except Away:
            await self._memory.fill(spent, seen)

    async def filling(self, name: str) -> frozenset[str]:
        """Return the ids of calls booked under an unfilled name."""
        booked = await self._memory.filling(name)
        try:
            return booked.union(await self._lease.ask("g", (name,)))
        except Away:
            return booked

    def spent(self, name: str) -> int | None:
        """Return what was spent under a budget's name as far as the picture tells."""
        return self._memory.spent(name) if self._lease.away else self._picture.spent(name)

    async def _book(self, mine: Mine, cost: int, list_cost: int) -> None:
        """Book a call whose holding the shared state does not have."""
        costs = tuple(mine.costs(cost, list_cost))
        if costs and (cost or list_cost):
            await self._lease.tell("k", mine.call_id, (mine.call_id, *costs))

    # -- bindings, loads, messages

    async def unbind(self, sticky_name: str, account_id: int) -> None:
        """Forget a binding, if it is still to that account."""
        if self.bound(sticky_name) == account_id:
            self._bindings.drop(sticky_name)
        await self._memory.unbind(sticky_name, account_id)
        with contextlib.suppress(Away):
            await self._lease.ask("u", (sticky_name, account_id))

    def bound(self, sticky_name: str) -> int:
        """Return the account a session is bound to as far as this process knows, 0 for none."""
        return self._bindings.get(sticky_name, self._clock.monotonic()) or 0

    def load(self, name: str) -> tuple[int, int]:
        """Return (active, waiting) for a slot's name."""
        return self._memory.load(name) if self._lease.away else self._picture.load(name)

    def watch_load(self, changed: Callable[[str], None]) -> None:
        """Call `changed(slot name)` whenever `load` has begun to return something else."""
        self._picture.watchers.append(changed)
        self._memory.watch_load(changed)

    async def publish(self, channel: str, message: bytes) -> None:
        """Tell every process; this one alone while the shared state is away."""
        if not self._lease.away:
            try:
                await self._link.publish(msgspec.msgpack.encode((channel, message)))
            except Away as error:
                self._lease.went_away(error)
            else:
                return
        self._channels.tell(channel, message)

    def subscribe(self, channel: str, heard: Callable[[bytes], None]) -> None:
        """Call `heard` with every message of a channel from now on."""
        self._channels.subscribe(channel, heard)

    def _note_binding(self, sticky: Sticky | None, account_id: int) -> None:
        if sticky is not None and account_id:
            until = self._clock.monotonic() + sticky.ttl
            self._bindings.set(sticky.name, account_id, until)

    def _take_picture(self) -> None:
        self._lease.spawn(self._fetch_picture())

    async def _fetch_picture(self) -> None:
        names = self._picture.asked()
        try:
            slots, spent = await self._lease.ask("p", names)
        except Away:
            self._picture.done()
        else:
            self._picture.taken(slots, names, spent)

    def _heard(self, private: bool, message: bytes) -> None:
        told = msgspec.msgpack.decode(message)
        if not private:
            self._channels.tell(told[0], told[1])
            return
        decided = self._waiters.get(told[0])
        if decided is not None and not decided.done():
            decided.set_result(told[1])

    # -- entering

    def _entered(self, entry: Entry, answer: Any, waited: float) -> Decision:
        """Note what an answer brought this process; return what it means."""
        decision = wire.decision_of(answer, waited)
        if isinstance(decision, Granted):
            mine = Mine(entry.call_id, entry, entry.slots)
            if decision.candidate >= 0:
                mine.moved(decision.candidate, entry.candidates[decision.candidate])
            self._mine[entry.call_id] = mine
            self._picture.shift(mine.all_slots(), 1)
            self._note_binding(entry.sticky, answer[4])
        elif isinstance(decision, Bound):
            self._note_binding(entry.sticky, decision.account_id)
        return decision

    async def _wait(
        self, entry: Entry, packed: wire.Packed, answer: Any, decided: asyncio.Future[Any]
    ) -> Any:
        """Wait until let in or told otherwise, asking again now and then. Raises Away."""
        only_first = answer[2]
        patience = entry.sticky.wait if only_first and entry.sticky is not None else entry.wait
        ends = self._clock.monotonic() + patience
        try:
            while answer[0] == wire.WAITING:
                left = ends - self._clock.monotonic()
                pause = min(left, _ASK_AGAIN_SECONDS, answer[3] if answer[3] >= 0 else left)
                await asyncio.wait((decided,), timeout=max(_SHORTEST_WAIT, pause))
                if decided.done():
                    return decided.result()
                last = int(self._clock.monotonic() >= ends)
                answer = await self._ask_to_enter(entry, (packed, answer[1], only_first, last))
        except asyncio.CancelledError:
            self._lease.spawn(self._undo(entry.call_id))
            raise
        return answer

    async def _ask_to_enter(self, entry: Entry, arguments: Any) -> Any:
        """Ask; a cancellation meanwhile takes back what the answer may have brought."""
        asked = self._lease.spawn(self._lease.ask("e", arguments))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            self._lease.spawn(self._undo(entry.call_id, asked))
            raise

    async def _undo(self, call_id: str, asked: asyncio.Task[Any] | None = None) -> None:
        """Take back a call that was cancelled, after its question has been answered."""
        if asked is not None:
            await asyncio.wait((asked,))
        await self._lease.tell("l", call_id, (call_id, -1, 0, 0, 0, 1))

    async def _enter_alone(self, entry: Entry) -> Decision:
        """Enter this process's own state, because the shared one is away."""
        decision = await self._memory.enter(entry)
        if isinstance(decision, Granted):
            place = entry.candidates[decision.candidate] if decision.candidate >= 0 else None
            self._mine[entry.call_id] = Mine(
                entry.call_id, entry, entry.slots, decision.candidate, place
            )
        if entry.sticky is not None:
            self._note_binding(entry.sticky, self._memory.bound(entry.sticky.name))
        return decision

    async def _swap_alone(
        self, call_id: str, candidates: tuple[Place, ...], sticky: Sticky | None
    ) -> Granted | Refused | Unfilled:
        """Swap in this process's own state; what the call held in the shared one is owed to it."""
        if not self._memory.holds(call_id) and call_id in self._mine:
            self._lease.owe("l", call_id, (call_id, -1, 0, 0, 0, 0))
        decision = await self._memory.swap(call_id, candidates, sticky)
        mine = self._mine.setdefault(call_id, Mine(call_id, None))
        if isinstance(decision, Granted):
            mine.moved(decision.candidate, candidates[decision.candidate])
        return decision

    # -- background

    async def start(self) -> None:
        """Register this process and begin to listen; without Redis, begin alone."""
        await self._lease.start(self._heard)

    async def close(self) -> None:
        """Give back everything this process holds, and stop."""
        await self._memory.close()
        self._mine.clear()
        await self._lease.close()

    def _held(self) -> list[Mine]:
        """Return what this process holds in the shared state."""
        return [each for each in self._mine.values() if not self._memory.holds(each.call_id)]

    def _turned(self) -> None:
        """Begin with an empty picture: `load` now tells of another state than before."""
        self._picture.taken((), (), ())
        alone = [each for each in self._mine.values() if self._memory.holds(each.call_id)]
        self._picture.told({slot.name for each in alone for slot in each.all_slots()})


async def _after(
    moving: asyncio.Task[Any], leave: Callable[..., Coroutine[Any, Any, None]], only_caller: bool
) -> None:
    await asyncio.wait((moving,))
    await leave(only_caller=only_caller)
