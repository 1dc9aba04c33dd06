"""Live state in memory: cheap, and bounded."""

from __future__ import annotations

import time

from sub2api.clock import Clock
from sub2api.live.counters import MOST_BUDGETS
from sub2api.live.interfaces import Budget, Sessions, Unfilled, Window
from sub2api.live.memory import MOST_BINDINGS, MemoryLive
from tests.live.kit import entry, granted, place

FAR = 4e9


class Later(Clock):
    """A clock that is set forward by hand."""

    ahead = 0.0

    def __init__(self) -> None:
        self.monotonic = lambda: time.monotonic() + self.ahead  # type: ignore[assignment]
        self.now = lambda: time.time() + self.ahead  # type: ignore[assignment]


async def test_budgets_and_bindings_are_bounded() -> None:
    live = MemoryLive(Clock())
    await live.fill({Budget(f"b{number}", 1): 0 for number in range(MOST_BUDGETS + 1)}, {})
    assert live.spent("b0") is None
    assert live.spent("b1") == 0
    for number in range(MOST_BINDINGS + 1):
        live._bindings.set(f"s{number}", 1)
    assert (live.bound("s0"), live.bound("s1")) == (0, 1)


async def test_what_was_spent_under_a_forgotten_budget_is_remembered_by_call() -> None:
    live = MemoryLive(Clock())
    mine = Budget("mine", 100, FAR)
    await live.fill({mine: 0}, {})
    await granted(live, entry("a", place(1, 9), budgets=(mine,)))
    await granted(live, entry("b", place(1, 9), budgets=(mine,)))
    await live.fill({Budget(f"b{number}", 1): 0 for number in range(MOST_BUDGETS)}, {})
    await live.leave("a", cost=7)
    await live.leave("b", cost=8)
    assert await live.enter(entry("c", budgets=(mine,))) == Unfilled(("mine",))
    assert await live.filling("mine") == {"a", "b"}
    await live.fill({mine: 17}, {"mine": frozenset({"a"})})
    assert live.spent("mine") == 25
    assert await live.filling("mine") == frozenset()


async def test_windows_and_sessions_that_are_over_are_swept() -> None:
    clock = Later()
    live = MemoryLive(clock)
    for number in range(3000):
        there = place(1, 9, sessions=Sessions(f"s{number}", 1))
        windows = (Window(f"w{number}", 5),)
        await granted(live, entry("a", there, windows=windows, session="x"))
        await live.leave("a")
        clock.ahead += 1
    assert len(live._counters._windows) < 1500
    assert len(live._counters._sessions) < 1500
