"""What choosing an account costs: `python -m tests.bench.selection` prints medians and the bars.

Every call ranks, enters, marks its account used, and a call that came some calls before it leaves:
the account of each is touched three times. Only `rank` is timed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from sub2api.model.accounts import Group
from tests.fakes.fleet import PLATFORMS, Fleet, account

UNDER_WAY = 200
"""How many calls are under way at any time (at most one on each account)."""


@dataclass(frozen=True)
class Case:
    """One row: so many accounts in so many groups, asked for so many models in turn."""

    name: str
    accounts: int
    groups: int = 1
    models: int = 1
    resting: int = 0
    bar_us: float | None = None


CASES = (
    Case("1 account", 1, bar_us=3.0),
    Case("100 accounts", 100),
    Case("1,000 accounts in one pool", 1_000, bar_us=150.0),
    Case("the same, 300 of them at rest", 1_000, resting=300, bar_us=150.0),
    Case("the same, 8 models in turn", 1_000, models=8),
    Case("1,000 in the key's group, 99 groups beside it", 10_900, groups=100, bar_us=150.0),
    Case("10,000 accounts in one pool", 10_000, bar_us=1_000.0),
)


@dataclass
class Running:
    """A fleet in its steady state."""

    case: Case
    fleet: Fleet
    under_way: deque[int] = field(default_factory=deque)
    calls: int = 0
    seconds: list[float] = field(default_factory=list)


def prepared(case: Case) -> Running:
    """Return a fleet with calls under way. The key's group has all accounts, or 1,000 of many."""
    groups = [Group(id=1 + at, name=f"g{at}", platform="anthropic") for at in range(case.groups)]
    own = case.accounts if case.groups == 1 else 1_000
    accounts = [
        account(
            1 + at,
            concurrency=5,
            priority=1 + at % 3,
            group_ids=(1 if at < own else 2 + at % (case.groups - 1),),
        )
        for at in range(case.accounts)
    ]
    running = Running(case, Fleet(accounts, groups, (1,)))
    for number in range(case.resting):
        running.fleet.health.rest(1 + number, running.fleet.clock.at + 1e6)
    turns(running, 2_000)
    running.seconds.clear()
    return running


def turns(running: Running, calls: int) -> float:
    """Make so many calls; return the median of the seconds that ranking took."""
    fleet, case = running.fleet, running.case
    names = [f"claude-{at}" for at in range(case.models)]
    others = case.accounts - 1_000 if case.groups > 1 else 0
    most = min(UNDER_WAY, case.accounts)
    for _ in range(calls):
        running.calls += 1
        model = names[running.calls % len(names)]
        fleet.clock.at += 0.001
        began = perf_counter()
        ranking = fleet.scheduler.rank(fleet.caller, PLATFORMS, model)
        running.seconds.append(perf_counter() - began)
        chosen = ranking.candidates[0].account
        fleet.loads.add(chosen.id, 1)
        fleet.catalogue.used(chosen)
        running.under_way.append(chosen.id)
        if len(running.under_way) > most:
            fleet.loads.add(running.under_way.popleft(), -1)
        if others:
            # The other groups are as busy: what happens there is none of this pool's business.
            other = 1_001 + running.calls % others
            fleet.loads.add(other, 1)
            fleet.loads.add(other, -1)
    return statistics.median(running.seconds[-calls:])


def measure(cases: Sequence[Case], rounds: int, calls: int) -> list[tuple[Case, float, float]]:
    """Return (case, median of the rounds' medians, p99 of all calls), in µs; rounds take turns."""
    fleets = [prepared(case) for case in cases]
    found: list[list[float]] = [[] for _ in cases]
    for _ in range(rounds):
        for at, running in enumerate(fleets):
            found[at].append(1e6 * turns(running, calls))
    return [
        (
            each.case,
            statistics.median(found[at]),
            1e6 * statistics.quantiles(each.seconds, n=100)[98],
        )
        for at, each in enumerate(fleets)
    ]


def main(arguments: Sequence[str] = (), cases: Sequence[Case] = CASES) -> int:
    """Print the table; fail if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=2_000)
    asked = parser.parse_args(arguments)
    missed = 0
    print("| choosing among | µs a call | p99 | bar | |\n| --- | --: | --: | --: | --- |")
    for case, median, p99 in measure(cases, asked.rounds, asked.calls):
        bar, verdict = "", ""
        if case.bar_us is not None:
            bar, verdict = f"{case.bar_us:g}", "met" if median <= case.bar_us else "**missed**"
            missed += median > case.bar_us
        print(f"| {case.name} | {median:.1f} | {p99:.0f} | {bar} | {verdict} |")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
