"""Short-lived shared state, behind an interface with a memory and (full mode) a Redis side.

This is the seam for slots today. Windows, holds, sticky bindings and the cache join it with the
limits that need them.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class Slot(msgspec.Struct, frozen=True):
    """A place for one call on something with a limit. `limit` 0 = unlimited."""

    name: str
    limit: int


class Entry(msgspec.Struct, frozen=True):
    """A call that asks to come in.

    It needs a place on every one of `caller_slots`, and on the first of `candidates` (ranked, best
    first) that has one. It waits its turn, first come first served per `queue`, at most `wait`
    seconds, and is refused at once when `queue` holds `max_waiting` calls already.
    """

    call_id: str
    caller_slots: tuple[Slot, ...]
    candidates: tuple[Slot, ...]
    queue: str
    wait: float = 30.0
    max_waiting: int = 100


class Granted(msgspec.Struct, frozen=True):
    """The call is in. `candidate` is the index of the candidate it got, -1 if it asked for none."""

    candidate: int
    waited: float


class Refused(msgspec.Struct, frozen=True):
    """The call is not in. `full` names what had no place; `queue_full` tells a refusal at once."""

    full: str
    queue_full: bool


class Live(Protocol):
    """Admission to limited things. Everything a call holds is kept under its call id."""

    async def enter(self, entry: Entry) -> Granted | Refused:
        """Take all places the entry asks for, or none. Cancelling the wait takes none."""
        ...

    async def swap(self, call_id: str, candidates: tuple[Slot, ...]) -> Granted | Refused:
        """Give up the call's candidate; take the first free one of `candidates` without waiting."""
        ...

    async def leave(self, call_id: str, *, only_caller: bool = False) -> None:
        """Give back everything the call holds (or only its caller's places). Safe to repeat."""
        ...

    def load(self, name: str) -> tuple[int, int]:
        """Return (active, waiting) for a slot name, at most 250 ms old."""
        ...
