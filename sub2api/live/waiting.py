"""The line of those who wait in this process, found by what they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from sub2api.live.interfaces import Entry, Granted, Place, Refused
from sub2api.live.remembered import Turns

TICKET_SECONDS = 2.0
"""How long a place in line is kept for one who was refused."""

_MOST_TURNS = 65_536
_Key = TypeVar("_Key", int, str)


@dataclass(slots=True, eq=False)
class Waiter:
    """One that waits. With `first_only` it waits for its first candidate alone: a binding."""

    entry: Entry
    arrival: int
    since: float
    first_only: bool
    decided: asyncio.Future[Granted | Refused] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def places(self) -> tuple[Place, ...]:
        """The candidates it waits for."""
        return self.entry.candidates[:1] if self.first_only else self.entry.candidates

    @property
    def bound_to(self) -> int:
        """The account of the binding it waits for, 0 for none."""
        return self.entry.candidates[0].account_id if self.first_only else 0

    def slots(self) -> set[str]:
        """Return the names of the slots it waits for."""
        mine = {slot.name for slot in self.entry.slots if slot.limit > 0}
        return mine.union(
            slot.name for each in self.places for slot in each.slots if slot.limit > 0
        )

    def others(self) -> Iterator[str]:
        """Yield the names of what else may become free."""
        for place in self.places:
            yield from (window.name for window in place.windows if window.limit > 0)


class Line:
    """Who waits, by fairness. All of `changed` hear of slots that more or fewer wait for."""

    def __init__(self, changed: list[Callable[[str], None]]) -> None:
        self._changed = changed
        self._by_name: dict[str, dict[Waiter, None]] = {}
        self._by_slot: dict[str, int] = {}
        self._by_user: dict[int, int] = {}
        self._by_binding: dict[int, int] = {}
        self._tickets: dict[int, float] = {}
        self._turn = 0
        self._users = Turns(_MOST_TURNS)
        self._keys = Turns(_MOST_TURNS)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def served(self, user: int, key: int) -> None:
        """Note that a user's and a key's call was let in."""
        self._turn += 1
        self._users.served(user, self._turn)
        self._keys.served(key, self._turn)

    def arrival(self, ticket: int, now: float) -> int:
        """Return the place in line a ticket keeps, a new one at the end without a valid ticket."""
        if self._tickets.pop(ticket, 0.0) > now:
            return ticket
        self._turn += 1
        return self._turn

    def has_kept(self, ticket: int, now: float) -> bool:
        """Whether a ticket is valid."""
        return self._tickets.get(ticket, 0.0) > now

    def keep(self, arrival: int, now: float) -> int:
        """Keep a place in line for a while; return its ticket."""
        while self._tickets and (oldest := next(iter(self._tickets.items())))[1] <= now:
            del self._tickets[oldest[0]]
        self._tickets[arrival] = now + TICKET_SECONDS
        return arrival

    def of_user(self, user: int) -> int:
        """Return how many of a user's calls wait."""
        return self._by_user.get(user, 0)

    def for_binding(self, account_id: int) -> int:
        """Return how many calls wait for this account because they are bound to it."""
        return self._by_binding.get(account_id, 0)

    def for_slot(self, name: str) -> int:
        """Return how many calls wait for a slot, among others."""
        return self._by_slot.get(name, 0)

    def add(self, waiter: Waiter) -> None:
        """Let a call wait."""
        slots = waiter.slots()
        for name in (*slots, *waiter.others()):
            self._by_name.setdefault(name, {})[waiter] = None
        self._count(waiter, slots, 1)

    def remove(self, waiter: Waiter) -> None:
        """A call waits no more."""
        slots = waiter.slots()
        for name in (*slots, *waiter.others()):
            found = self._by_name.get(name, {})
            found.pop(waiter, None)
            if not found:
                self._by_name.pop(name, None)
        self._count(waiter, slots, -1)

    def in_order(self, names: Iterable[str]) -> Iterator[Waiter]:
        """Yield those who wait for any of these, the next to be let in first.

        Mostly the first gets in and no other is looked at: only the others are sorted.
        """
        found: dict[Waiter, None] = {}
        for name in names:
            found.update(self._by_name.get(name, ()))
        if found:
            first = min(found, key=self._rank)
            yield first
            del found[first]
            yield from sorted(found, key=self._rank)

    def _rank(self, waiter: Waiter) -> tuple[int, int, int]:
        entry = waiter.entry
        return self._users.last(entry.user), self._keys.last(entry.key), waiter.arrival

    def _count(self, waiter: Waiter, slots: Iterable[str], change: int) -> None:
        self._length += change
        _shift(self._by_user, waiter.entry.user, change)
        if waiter.first_only:
            _shift(self._by_binding, waiter.bound_to, change)
        for name in slots:
            _shift(self._by_slot, name, change)
            for changed in self._changed:
                changed(name)


def _shift(counts: dict[_Key, int], key: _Key, change: int) -> None:
    """Change a count; zero is not kept."""
    count = counts.get(key, 0) + change
    if count:
        counts[key] = count
    else:
        counts.pop(key, None)
