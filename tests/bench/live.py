"""What live state in memory costs a call: `python -m tests.bench.live`."""

from __future__ import annotations

import asyncio
import statistics
import time

from sub2api.clock import Clock
from sub2api.live.interfaces import Budget, Entry, Place, Slot, Sticky, Window
from sub2api.live.memory import MemoryLive

ROUNDS, CALLS = 200, 200
SLOTS = (Slot("user:1", 50), Slot("key:1", 50))
PLACES = (Place(1, (Slot("account:1", 50),)),)
FAR = 4e9


async def main() -> None:
    """Print microseconds per call (enter and leave), medians of interleaved rounds."""
    windows = (Window("rpm:key:1", 10**9), Window("tpm:key:1", 10**12, 100, tokens=True))
    budgets = (Budget("cost:key:1:day:0", 10**18, FAR),)
    entries = {
        "two slots and an account": Entry("c", 1, 1, SLOTS, candidates=PLACES),
        "a session besides": Entry("c", 1, 1, SLOTS, candidates=PLACES, sticky=Sticky("s", 1)),
        "rpm, tpm and a budget besides": Entry(
            "c", 1, 1, SLOTS, windows, budgets, PLACES, Sticky("s", 1)
        ),
    }
    live = MemoryLive(Clock())
    await live.fill(dict.fromkeys(budgets, 0), {})
    took: dict[str, list[float]] = {name: [] for name in entries}
    for _ in range(ROUNDS):
        for name, entry in entries.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                await live.enter(entry)
                await live.leave("c", tokens=90, cost=1, list_cost=1)
            took[name].append((time.perf_counter() - began) / CALLS)
    for name, each in took.items():
        print(f"{name:32} {statistics.median(each) * 1e6:6.1f} us")


if __name__ == "__main__":
    asyncio.run(main())
