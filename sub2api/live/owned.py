"""What a process holds in shared state, and what it still owes it after it was away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sub2api.live.interfaces import Budget, Entry, Place, Slot
from sub2api.live.wire import Packed, limited, packed_budgets, packed_place, packed_slots


@dataclass(slots=True)
class Mine:
    """What one call of this process holds: its caller's slots (until given back), its place."""

    call_id: str
    entry: Entry | None
    slots: tuple[Slot, ...] = ()
    candidate: int = -1
    place: Place | None = None

    def all_slots(self) -> tuple[Slot, ...]:
        """Return all slots it holds."""
        return self.slots if self.place is None else (*self.slots, *self.place.slots)

    def moved(self, candidate: int, place: Place | None) -> None:
        """Note that it holds another candidate."""
        self.candidate, self.place = candidate, place

    def costs(self, cost: int, list_cost: int) -> Iterator[tuple[str, int, float]]:
        """Yield what goes to which budget: name, nanodollars, when it expires."""
        for budget in self._budgets():
            yield budget.name, list_cost if budget.lists else cost, budget.expires

    def packed(self) -> Packed:
        """Return it as the script's `r` reads it."""
        entry = self.entry
        return (
            self.call_id,
            packed_slots(self.slots),
            packed_budgets(entry.budgets) if entry is not None else (),
            self.candidate,
            packed_place(self.place) if self.place is not None else 0,
            entry.session if entry is not None else "",
        )

    def _budgets(self) -> list[Budget]:
        callers = self.entry.budgets if self.entry is not None else ()
        return limited((*callers, *(self.place.budgets if self.place is not None else ())))


@dataclass(slots=True)
class Owed:
    """Commands that could not be sent, oldest first; what is beyond `most` is forgotten."""

    most: int = 100_000
    commands: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)

    def add(self, operation: str, call_id: str, arguments: tuple[Any, ...]) -> None:
        """Remember one command of a call; a later one of the same kind replaces it.

        Its operation is the first letter; what follows tells apart commands of one call.
        """
        if len(self.commands) < self.most:
            self.commands[operation, call_id] = arguments
