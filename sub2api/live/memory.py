"""Live state of one process, in memory. Everything happens on one event loop: no locks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from sub2api.clock import Clock
from sub2api.live.channels import Channels
from sub2api.live.counters import Counters, Full, Holding
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
from sub2api.live.remembered import Remembered
from sub2api.live.waiting import Line, Waiter

MOST_BINDINGS = 131_072
"""Sessions whose account is remembered; the one that was not used longest is forgotten."""

_NO_PLACE = (-1, None)


class MemoryLive:
    """All of live state in one process (see `Live`, which says what each method promises)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watchers: list[Callable[[str], None]] = []
        self._counters = Counters(clock, self._watchers)
        self._line = Line(self._watchers)
        self._holdings: dict[str, Holding] = {}
        self._bindings: Remembered[str, int] = Remembered(MOST_BINDINGS)
        self._channels = Channels()

    async def enter(self, entry: Entry) -> Decision:
        """Take all that the entry asks for, or nothing (see `Live.enter`)."""
        held = self._holdings.get(entry.call_id)
        if held is not None:
            return self._granted(entry, held.candidate, 0.0)
        bound = 0
        if entry.sticky is not None:
            bound = self.bound(entry.sticky.name)
            if bound and bound != entry.sticky.expected and bound not in entry.sticky.unusable:
                return Bound(bound)
        unfilled = self._counters.unfilled(entry.budgets, entry.candidates)
        if unfilled:
            return Unfilled(tuple(unfilled))
        if self._line:
            # Time frees windows and sessions, and tells nobody: those who wait go first.
            self._wake(
                name
                for place in entry.candidates
                if place.windows or place.sessions is not None
                for name in _names(place)
            )
        first_only = bound != 0 and self._may_wait_for(bound, entry)
        outcome = self._try(entry, first_only=first_only)
        if first_only and isinstance(outcome, Full) and outcome.retry_after is not None:
            # A binding is waited for where somebody's leaving makes room: that is soon.
            first_only, outcome = False, self._try(entry)
        if isinstance(outcome, Granted):
            return outcome
        return await self._wait_or_refuse(entry, outcome, first_only)

    async def swap(
        self, call_id: str, candidates: tuple[Place, ...], sticky: Sticky | None = None
    ) -> Granted | Refused | Unfilled:
        """Give up the call's candidate, take the first free one of others (see `Live.swap`)."""
        counters = self._counters
        unfilled = counters.unfilled((), candidates)
        if unfilled:
            return Unfilled(tuple(unfilled))
        holding = self._holdings.setdefault(call_id, Holding(None, *_NO_PLACE))
        freed = self._give_up_place(holding, tokens=0)
        session = holding.entry.session if holding.entry is not None else ""
        chosen = self._choose(candidates, session)
        if not isinstance(chosen, Full):
            place = candidates[chosen]
            holding.candidate, holding.place = chosen, place
            counters.take_place(holding, place, session)
            self._bind(sticky, place.account_id)
        self._wake(freed)
        if isinstance(chosen, Full):
            return Refused(chosen.name, chosen.retry_after)
        return Granted(chosen)

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
        holding = self._holdings.get(call_id)
        if holding is None:
            return
        slots, holding.slots = holding.slots, ()
        self._counters.give_back_slots(slots)
        freed = [slot.name for slot in slots]
        if not only_caller:
            del self._holdings[call_id]
            if cost or list_cost:
                self._counters.book(call_id, holding.budgets(), cost, list_cost)
            entry = holding.entry
            if tokens is not None and entry is not None and entry.windows:
                self._counters.settle(entry.windows, holding.since, tokens)
            if holding.place is not None:
                if entry is not None:
                    self._counters.seen_again(holding.place, entry.session)
                freed += self._give_up_place(holding, tokens)
        if self._line:
            self._wake(freed)

    async def fill(self, spent: Mapping[Budget, int], seen: Mapping[str, frozenset[str]]) -> None:
        """Set budgets that were `Unfilled` (see `Live.fill`)."""
        self._counters.fill(spent, seen)

    async def filling(self, name: str) -> frozenset[str]:
        """Return the ids of calls booked under an unfilled name."""
        return self._counters.filling(name)

    async def unbind(self, sticky_name: str, account_id: int) -> None:
        """Forget a binding, if it is still to that account."""
        if self.bound(sticky_name) == account_id:
            self._bindings.drop(sticky_name)

    def bound(self, sticky_name: str) -> int:
        """Return the account a session is bound to, 0 for none."""
        return self._bindings.get(sticky_name, self._clock.monotonic()) or 0

    def load(self, name: str) -> tuple[int, int]:
        """Return (active, waiting) for a slot's name."""
        return self._counters.active.get(name, 0), self._line.for_slot(name)

    def spent(self, name: str) -> int | None:
        """Return what was spent under a budget's name; None if not filled."""
        return self._counters.spent(name)

    def watch_load(self, changed: Callable[[str], None]) -> None:
        """Call `changed(slot name)` whenever `load` has begun to return something else."""
        self._watchers.append(changed)

    async def publish(self, channel: str, message: bytes) -> None:
        """Tell every listener of this process."""
        self._channels.tell(channel, message)

    def subscribe(self, channel: str, heard: Callable[[bytes], None]) -> None:
        """Call `heard` with every message of a channel from now on."""
        self._channels.subscribe(channel, heard)

    async def start(self) -> None:
        """Nothing runs in the background."""

    async def close(self) -> None:
        """Give back everything."""
        for call_id in list(self._holdings):
            await self.leave(call_id)

    def holds(self, call_id: str) -> bool:
        """Whether a call holds anything here."""
        return call_id in self._holdings

    # -- deciding

    def _try(self, entry: Entry, *, first_only: bool = False) -> Granted | Full:
        """Let a call in if there is room for it; else say what is full."""
        counters = self._counters
        full = counters.full_for_caller(entry)
        if full is not None:
            return full
        index, place = _NO_PLACE
        if entry.candidates:
            places = entry.candidates[:1] if first_only else entry.candidates
            chosen = self._choose(places, entry.session)
            if isinstance(chosen, Full):
                return chosen
            index, place = chosen, entry.candidates[chosen]
        holding = self._holdings[entry.call_id] = Holding(entry, index, place)
        counters.take_callers(holding, entry)
        if place is not None:
            counters.take_place(holding, place, entry.session)
            self._bind(entry.sticky, place.account_id)
        self._line.served(entry.user, entry.key)
        return self._granted(entry, index, 0.0)

    def _choose(self, places: tuple[Place, ...], session: str) -> int | Full:
        """Return the index of the first place with room; else what is full, and until when."""
        first: Full | None = None
        for index, place in enumerate(places):
            full = self._counters.full_for_place(place, session)
            if full is None:
                return index
            first = _sooner(first, full)
        return first or Full("")

    def _granted(self, entry: Entry, index: int, waited: float) -> Granted:
        if not entry.windows:
            return Granted(index, waited)
        requests = self._counters.usage(entry.windows, tokens=False)
        return Granted(index, waited, requests, self._counters.usage(entry.windows, tokens=True))

    def _refused(
        self, entry: Entry, full: Full, *, queue_full: bool = False, ticket: int = 0
    ) -> Refused:
        requests = self._counters.usage(entry.windows, tokens=False)
        tokens = self._counters.usage(entry.windows, tokens=True)
        return Refused(full.name, full.retry_after, queue_full, ticket, requests, tokens)

    def _bind(self, sticky: Sticky | None, account_id: int) -> None:
        """Make, move or refresh a binding; a call that goes elsewhere by overflow leaves it."""
        if sticky is not None:
            bound = self.bound(sticky.name)
            if not bound or bound == account_id or bound in sticky.unusable:
                until = self._clock.monotonic() + sticky.ttl
                self._bindings.set(sticky.name, account_id, until)

    def _give_up_place(self, holding: Holding, tokens: int | None) -> list[str]:
        """Give a call's candidate back; return what became free."""
        place = holding.place
        if place is None:
            return []
        holding.candidate, holding.place = _NO_PLACE
        self._counters.give_back_slots(place.slots)
        if tokens is not None and place.windows:
            self._counters.settle(place.windows, holding.placed, tokens)
        return list(_names(place))

    # -- waiting

    def _may_wait_for(self, bound: int, entry: Entry) -> bool:
        """Whether a call waits for the account it is bound to before it takes another."""
        candidates, sticky = entry.candidates, entry.sticky
        if sticky is None or not candidates or candidates[0].account_id != bound:
            return False
        if bound in sticky.unusable:
            return False
        return self._line.for_binding(bound) < sticky.max_waiting

    async def _wait_or_refuse(self, entry: Entry, full: Full, first_only: bool) -> Decision:
        if not full.waits:
            return self._refused(entry, full)
        now = self._clock.monotonic()
        patience = entry.sticky.wait if first_only and entry.sticky is not None else entry.wait
        has_place = self._line.has_kept(entry.ticket, now)
        may_wait = has_place or self._line.of_user(entry.user) < entry.max_waiting
        if patience <= 0 or not may_wait:
            return self._refused(entry, full, queue_full=True, ticket=entry.ticket)
        arrival = self._line.arrival(entry.ticket, now)
        return await self._wait(Waiter(entry, arrival, now, first_only), full, patience)

    async def _wait(self, waiter: Waiter, full: Full, patience: float) -> Decision:
        self._line.add(waiter)
        ends = waiter.since + patience
        try:
            while not waiter.decided.done():
                left = ends - self._clock.monotonic()
                if left <= 0:
                    return self._at_the_end(waiter, full)
                if full.retry_after is not None:
                    left = min(left, full.retry_after)
                await asyncio.wait((waiter.decided,), timeout=left)
                if not waiter.decided.done():
                    full = self._look_again(waiter, full)
            return waiter.decided.result()
        except asyncio.CancelledError:
            if waiter.decided.done() and isinstance(waiter.decided.result(), Granted):
                self._undo(waiter.entry.call_id)
            raise
        finally:
            if not waiter.decided.done():
                self._line.remove(waiter)

    def _look_again(self, waiter: Waiter, full: Full) -> Full:
        """Let in who can be let in now; return what is full for one that still waits."""
        self._wake([*waiter.slots(), *waiter.others()])
        if waiter.decided.done():
            return full
        outcome = self._try(waiter.entry, first_only=waiter.first_only)
        if isinstance(outcome, Full):
            return outcome
        self._decide(waiter, outcome)
        return full

    def _at_the_end(self, waiter: Waiter, full: Full) -> Granted | Refused:
        outcome = self._try(waiter.entry) if waiter.first_only else full
        if isinstance(outcome, Granted):
            self._decide(waiter, outcome)
            return waiter.decided.result()
        if not outcome.waits:
            return self._refused(waiter.entry, outcome)
        ticket = self._line.keep(waiter.arrival, self._clock.monotonic())
        return self._refused(waiter.entry, outcome, ticket=ticket)

    def _decide(self, waiter: Waiter, outcome: Granted | Refused) -> None:
        """End a wait."""
        self._line.remove(waiter)
        if isinstance(outcome, Granted):
            waited = self._clock.monotonic() - waiter.since
            outcome = self._granted(waiter.entry, outcome.candidate, waited)
        waiter.decided.set_result(outcome)

    def _wake(self, freed: Iterable[str]) -> None:
        """Let in those who waited for what has become free, each time the next in line."""
        if not self._line:
            return
        names = set(freed)
        while names and self._wake_one(names):
            pass

    def _wake_one(self, names: set[str]) -> bool:
        """Let in the next who waits for any of these; what is found full is taken off them."""
        for waiter in self._line.in_order(names):
            outcome = self._try(waiter.entry, first_only=waiter.first_only)
            if isinstance(outcome, Granted):
                self._decide(waiter, outcome)
                self._take_off_full(names, waiter.entry)
                return True
            if not outcome.waits:
                self._decide(waiter, self._refused(waiter.entry, outcome))
            elif outcome.retry_after is None:
                names.discard(outcome.name)
                if not names:
                    return False
        return False

    def _take_off_full(self, names: set[str], entry: Entry) -> None:
        """Take off the slots that are full now that this call is in: nobody needs to be asked."""
        active = self._counters.active
        place = self._holdings[entry.call_id].place
        for slot in (*entry.slots, *(place.slots if place is not None else ())):
            if 0 < slot.limit <= active.get(slot.name, 0):
                names.discard(slot.name)

    def _undo(self, call_id: str) -> None:
        """Take back a grant that its call did not live to see."""
        holding = self._holdings.pop(call_id, None)
        if holding is None:
            return
        self._counters.undo(holding)
        self._counters.give_back_slots(holding.slots)
        freed = [slot.name for slot in holding.slots]
        self._wake([*freed, *self._give_up_place(holding, None)])


def _names(place: Place) -> Iterable[str]:
    """Yield the names of what a candidate's leaving, or time, may make free."""
    for slot in place.slots:
        yield slot.name
    for window in place.windows:
        yield window.name


def _sooner(one: Full | None, other: Full) -> Full:
    """Return the first of two full things, with the earlier time at which to try again."""
    if one is None:
        return other
    if other.retry_after is None or (
        one.retry_after is not None and one.retry_after <= other.retry_after
    ):
        return one
    return Full(one.name, other.retry_after)
