"""What is taken in this process: slots, windows, budgets and sessions; what each call holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from sub2api.clock import Clock
from sub2api.live.interfaces import Budget, Entry, Place, Sessions, Slot, Usage, Window
from sub2api.live.remembered import Remembered
from sub2api.live.windows import Counts

MOST_BUDGETS = 131_072
"""Counters kept; one that was not used longest is forgotten, and filled again when asked for."""

_SWEEP_AT_LEAST = 1024


class Full(msgspec.Struct, frozen=True):
    """What has no room. `waits`: it makes sense to wait for it."""

    name: str
    retry_after: float | None = None
    waits: bool = True


class Holding:
    """What one call holds. `since` and `placed` say when its windows were taken."""

    __slots__ = ("began_session", "candidate", "entry", "place", "placed", "since", "slots")

    def __init__(self, entry: Entry | None, candidate: int, place: Place | None) -> None:
        self.entry = entry
        self.slots: tuple[Slot, ...] = () if entry is None else entry.slots
        self.candidate = candidate
        self.place = place
        self.since = 0.0
        self.placed = 0.0
        self.began_session = False

    def budgets(self) -> Iterable[Budget]:
        """Return the limited budgets its cost goes to."""
        callers = () if self.entry is None else self.entry.budgets
        mine = callers if self.place is None else (*callers, *self.place.budgets)
        return [each for each in mine if each.limit > 0]


class Counters:
    """Counts. All of `changed` hear the name of every slot whose count has changed."""

    def __init__(self, clock: Clock, changed: list[Callable[[str], None]]) -> None:
        self._clock = clock
        self._changed = changed
        self.active: dict[str, int] = {}
        self._windows: dict[str, Counts] = {}
        self._sweep_windows_at = _SWEEP_AT_LEAST
        self._sessions: dict[str, dict[str, float]] = {}  # least recently seen first
        self._sweep_sessions_at = _SWEEP_AT_LEAST
        self._budgets: Remembered[str, int] = Remembered(MOST_BUDGETS)
        self._filling: Remembered[str, dict[str, int]] = Remembered(MOST_BUDGETS)

    # -- room

    def full_for_caller(self, entry: Entry) -> Full | None:
        """Return what of the caller's has no room: windows and budgets first."""
        if entry.windows or entry.budgets:
            full = self._full_window(entry.windows) or self._full_budget(entry.budgets)
            if full is not None:
                return Full(full.name, full.retry_after, waits=False)
        for slot in entry.slots:
            if 0 < slot.limit <= self.active.get(slot.name, 0):
                return Full(slot.name)
        return None

    def full_for_place(self, place: Place, session: str) -> Full | None:
        """Return what of a candidate's has no room."""
        for slot in place.slots:
            if 0 < slot.limit <= self.active.get(slot.name, 0):
                return Full(slot.name)
        if place.windows or place.budgets:
            full = self._full_window(place.windows) or self._full_budget(place.budgets)
            if full is not None:
                return full
        if place.sessions is not None and session:
            return self._full_sessions(place.sessions, session)
        return None

    def unfilled(self, callers: tuple[Budget, ...], places: tuple[Place, ...]) -> list[str]:
        """Return the names of the budgets among these that are not known."""
        budgets = callers
        for place in places:
            if place.budgets:
                budgets += place.budgets
        if not budgets:
            return []
        now = self._clock.now()
        known = self._budgets.get
        names = [each.name for each in budgets if each.limit > 0 and known(each.name, now) is None]
        return list(dict.fromkeys(names))

    def usage(self, windows: tuple[Window, ...], *, tokens: bool) -> Usage | None:
        """Return how full the tightest of these windows of one kind is."""
        tightest: Usage | None = None
        now = self._clock.monotonic()
        for window in windows:
            if window.limit > 0 and window.tokens == tokens:
                counts = self._windows.get(window.name)
                taken = 0 if counts is None else counts.total(now)
                remaining = max(0, window.limit - taken)
                if tightest is None or remaining < tightest.remaining:
                    resets = 0.0 if counts is None else counts.free_after(now)
                    tightest = Usage(window.limit, remaining, resets)
        return tightest

    def _full_window(self, windows: tuple[Window, ...]) -> Full | None:
        now = self._clock.monotonic()
        for window in windows:
            counts = self._windows.get(window.name)
            if counts is None or window.limit <= 0:
                continue
            if not counts.has_room(now, window.limit, window.amount):
                return Full(window.name, counts.room_after(now, window.limit, window.amount))
        return None

    def _full_budget(self, budgets: tuple[Budget, ...]) -> Full | None:
        now = self._clock.now()
        for budget in budgets:
            if 0 < budget.limit <= (self._budgets.get(budget.name, now) or 0):
                return Full(budget.name)
        return None

    def _full_sessions(self, sessions: Sessions, session: str) -> Full | None:
        seen = self._sessions_of(sessions)
        if sessions.limit <= 0 or session in seen or len(seen) < sessions.limit:
            return None
        oldest = next(iter(seen.values()))
        return Full(sessions.name, oldest + sessions.idle - self._clock.monotonic())

    def _sessions_of(self, sessions: Sessions) -> dict[str, float]:
        seen = self._sessions.get(sessions.name, {})
        over = self._clock.monotonic() - sessions.idle
        while seen and (oldest := next(iter(seen.items())))[1] <= over:
            del seen[oldest[0]]
        return seen

    # -- taking and giving back

    def take_callers(self, holding: Holding, entry: Entry) -> None:
        """Take the caller's slots and windows."""
        for slot in entry.slots:
            if slot.limit > 0:
                self._shift(slot.name, 1)
        if entry.windows:
            holding.since = self._take_windows(entry.windows)

    def take_place(self, holding: Holding, place: Place, session: str) -> None:
        """Take a candidate's slots, windows and session."""
        for slot in place.slots:
            if slot.limit > 0:
                self._shift(slot.name, 1)
        if place.windows:
            holding.placed = self._take_windows(place.windows)
        if place.sessions is not None and session:
            holding.began_session = self._see(place.sessions, session)

    def give_back_slots(self, slots: Iterable[Slot]) -> None:
        """Give slots back."""
        for slot in slots:
            if slot.limit > 0:
                self._shift(slot.name, -1)

    def settle(self, windows: tuple[Window, ...], taken: float, tokens: int) -> None:
        """Correct token windows, taken at a moment, to what was used.

        Less than the estimate is given back to the second it was taken in; more counts as taken
        now, when it became known.
        """
        now = self._clock.monotonic()
        for window in windows:
            if window.tokens and window.limit > 0:
                if tokens > window.amount:
                    self._counts(window).add(now, tokens - window.amount)
                else:
                    self._counts(window).take_back(now, int(taken), window.amount - tokens)

    def undo(self, holding: Holding) -> None:
        """Take back what a call that did not begin has in windows and sessions."""
        now, entry, place = self._clock.monotonic(), holding.entry, holding.place
        taken = [] if entry is None else [(entry.windows, holding.since)]
        if place is not None:
            taken.append((place.windows, holding.placed))
            if holding.began_session and place.sessions is not None and entry is not None:
                self._sessions.get(place.sessions.name, {}).pop(entry.session, None)
        for windows, moment in taken:
            for window in windows:
                if window.limit > 0:
                    self._counts(window).take_back(now, int(moment), window.amount)

    def seen_again(self, place: Place, session: str) -> None:
        """Note that a session's call has ended just now."""
        if place.sessions is not None and session:
            self._see(place.sessions, session)

    def _see(self, sessions: Sessions, session: str) -> bool:
        """Note a session's call; return whether the session is new."""
        if sessions.limit <= 0:
            return False
        if sessions.name not in self._sessions and len(self._sessions) >= self._sweep_sessions_at:
            over = self._clock.monotonic() - sessions.idle
            self._sessions = {
                name: seen
                for name, seen in self._sessions.items()
                if any(last > over for last in seen.values())
            }
            self._sweep_sessions_at = max(_SWEEP_AT_LEAST, 2 * len(self._sessions))
        seen = self._sessions.setdefault(sessions.name, {})
        new = seen.pop(session, None) is None
        seen[session] = self._clock.monotonic()
        return new

    def _take_windows(self, windows: tuple[Window, ...]) -> float:
        now = self._clock.monotonic()
        for window in windows:
            if window.limit > 0:
                self._counts(window).add(now, window.amount)
        return now

    def _counts(self, window: Window) -> Counts:
        counts = self._windows.get(window.name)
        if counts is None:
            if len(self._windows) >= self._sweep_windows_at:
                now = self._clock.monotonic()
                self._windows = {k: v for k, v in self._windows.items() if v.total(now)}
                self._sweep_windows_at = max(_SWEEP_AT_LEAST, 2 * len(self._windows))
            counts = self._windows[window.name] = Counts(window.seconds)
        return counts

    def _shift(self, name: str, change: int) -> None:
        active = self.active
        count = active.get(name, 0) + change
        if count > 0:
            active[name] = count
        else:
            active.pop(name, None)
        for changed in self._changed:
            changed(name)

    # -- money

    def spent(self, name: str) -> int | None:
        """Return what was spent under a budget's name, None if it is not known."""
        return self._budgets.get(name, self._clock.now())

    def book(self, call_id: str, budgets: Iterable[Budget], cost: int, list_cost: int) -> None:
        """Add a call's cost to its budgets; remember it by id where one is not filled."""
        now = self._clock.now()
        for budget in budgets:
            amount = list_cost if budget.lists else cost
            if 0 < budget.expires <= now or not amount:
                continue
            spent = self._budgets.get(budget.name, now)
            if spent is not None:
                self._budgets.change(budget.name, spent + amount)
                continue
            booked = self._filling.get(budget.name, now)
            if booked is None:
                booked = {}
                self._filling.set(budget.name, booked, budget.expires)
            booked[call_id] = amount

    def filling(self, name: str) -> frozenset[str]:
        """Return the ids of calls booked while the budget was not known."""
        return frozenset(self._filling.get(name, self._clock.now()) or ())

    def fill(self, spent: Mapping[Budget, int], seen: Mapping[str, frozenset[str]]) -> None:
        """Set what is not known to the store's sums and what was booked beside them."""
        now = self._clock.now()
        for budget, stored in spent.items():
            if self._budgets.get(budget.name, now) is not None:
                continue
            counted = seen.get(budget.name, frozenset())
            booked = self._filling.get(budget.name, now) or {}
            more = sum(amount for call_id, amount in booked.items() if call_id not in counted)
            self._filling.drop(budget.name)
            self._budgets.set(budget.name, stored + more, budget.expires)
