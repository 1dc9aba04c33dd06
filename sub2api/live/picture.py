"""A process's picture of shared loads and budgets, taken anew when it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sub2api.clock import Clock
from sub2api.live.interfaces import Slot
from sub2api.live.remembered import Remembered

FRESH_SECONDS = 0.25
"""A picture older than this is taken anew as soon as somebody looks at it."""

_MOST_BUDGETS = 65_536
_MOST_ASKED = 4_096


class Picture:
    """Loads by slot and what was spent by budget. `take` begins to fetch a new picture."""

    def __init__(self, clock: Clock, take: Callable[[], None]) -> None:
        self._clock = clock
        self._take = take
        self._taken = -FRESH_SECONDS
        self._under_way = False
        self._loads: dict[str, int] = {}  # as in Redis: "?" before a slot's name = waiting
        self._spent: Remembered[str, int] = Remembered(_MOST_BUDGETS)
        self._asked: dict[str, None] = {}
        self.watchers: list[Callable[[str], None]] = []

    def look(self) -> None:
        """Have a new picture taken if this one is old and none is on its way."""
        if not self._under_way and self._clock.monotonic() - self._taken >= FRESH_SECONDS:
            self._under_way = True
            self._take()

    def load(self, name: str) -> tuple[int, int]:
        """Return (active, waiting) for a slot's name."""
        self.look()
        return self._loads.get(name, 0), self._loads.get("?" + name, 0)

    def spent(self, name: str) -> int | None:
        """Return what was spent under a budget's name, None if that is not known."""
        if len(self._asked) < _MOST_ASKED:
            self._asked[name] = None
        self.look()
        return self._spent.get(name, 0.0)

    def asked(self) -> list[str]:
        """Return the budgets asked for since the last picture, for the next one."""
        asked, self._asked = list(self._asked), {}
        return asked

    def taken(self, slots: Sequence[str | int], names: Sequence[str], spent: Sequence[int]) -> None:
        """Replace the picture: slots and counts by turns, budgets' names, their sums (-1: none)."""
        before = self._loads
        self._loads = dict(zip(slots[::2], slots[1::2], strict=True))  # type: ignore[arg-type]
        for name, amount in zip(names, spent, strict=True):
            if amount < 0:
                self._spent.drop(name)
            else:
                self._spent.set(name, amount)
        self.done()
        if self.watchers:
            changed = {name for name, _ in before.items() ^ self._loads.items()}
            self.told({name.removeprefix("?") for name in changed})

    def done(self) -> None:
        """No new picture is on its way any more, whether it came or not."""
        self._under_way = False
        self._taken = self._clock.monotonic()

    def shift(self, slots: Iterable[Slot], change: int) -> None:
        """Note what this process has just taken or given back."""
        names = [slot.name for slot in slots if slot.limit > 0]
        for name in names:
            count = self._loads.get(name, 0) + change
            if count > 0:
                self._loads[name] = count
            else:
                self._loads.pop(name, None)
        self.told(names)

    def told(self, names: Iterable[str]) -> None:
        """Tell the watchers that these slots' loads may have changed."""
        for changed in self.watchers:
            for name in names:
                changed(name)
