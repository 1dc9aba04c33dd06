"""What a simulation counts, what it demands, and how it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """One moment: accounts at rest, accounts without a call, calls under way, calls that wait."""

    second: float
    resting: int
    idle: int
    active: int
    waiting: int


@dataclass
class Measures:
    """Counts of one simulation."""

    calls: int = 0
    decisions: int = 0
    decision_seconds: float = 0.0
    by_account: Counter[int] = field(default_factory=Counter)
    stayed: int = 0
    moved: int = 0
    refusals: int = 0
    gave_up: int = 0
    missed: int = 0
    waits: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def decided(self, seconds: float) -> None:
        """Count a ranking."""
        self.decisions += 1
        self.decision_seconds += seconds

    def served(self, account_id: int) -> None:
        """Count a reply."""
        self.by_account[account_id] += 1

    def waited(self, seconds: float) -> None:
        """Count a place taken, at once or after a wait."""
        if seconds > 0:
            self.waits.append(seconds)

    def repeat(self, *, stayed: bool) -> None:
        """Count a later turn of a session whose account was healthy."""
        self.stayed += stayed
        self.moved += not stayed

    def refused(self, *, ready: bool, gave_up: bool) -> None:
        """Count a refusal; `ready`: although an account would have taken the call."""
        self.refusals += 1
        self.missed += ready
        self.gave_up += gave_up


def jain(shares: Iterable[float]) -> float:
    """Return Jain's index of fairness: 1.0 if all have the same, 1/n if one has everything."""
    values = list(shares)
    squares = sum(each * each for each in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


@dataclass(frozen=True)
class Finding:
    """One line of the result; `bar` is what it must be, "" where nothing is demanded."""

    name: str
    value: str
    bar: str = ""
    met: bool = True


def findings(
    measures: Measures,
    equals: Sequence[Sequence[int]],
    accounts: int,
    refusals: dict[str, int],
    took: float,
) -> list[Finding]:
    """Return what came out. `equals` are accounts without trouble, alike in each list."""
    fairness = min(jain(measures.by_account[each] for each in alike) for alike in equals)
    repeats = measures.stayed + measures.moved
    affinity = measures.stayed / repeats if repeats else 1.0
    samples = measures.samples
    idle = sum(each.idle for each in samples) / (accounts * len(samples))
    answered = sum(measures.by_account.values())
    waits = sorted(measures.waits) or [0.0]
    median, p99 = waits[len(waits) // 2], waits[int(0.99 * len(waits))]
    rate = measures.decisions / measures.decision_seconds
    kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(refusals.items()))
    return [
        Finding("calls", f"{measures.calls:,}, of them answered {answered:,}"),
        Finding("refused by the vendor", kinds or "none"),
        Finding(
            "fairness between equal accounts (Jain)",
            f"{fairness:.4f}", ">= 0.95", fairness >= 0.95,
        ),
        Finding(
            "later turns that stayed with their healthy account",
            f"{affinity:.2%} of {repeats:,}", ">= 99 %", affinity >= 0.99,
        ),
        Finding(
            "calls refused although a ready account existed",
            f"{measures.missed:,}", "0", measures.missed == 0,
        ),
        Finding(
            "calls refused in all",
            f"{measures.refusals:,}, {measures.gave_up:,} of them after eleven attempts",
        ),
        Finding(
            "calls that waited",
            f"{len(measures.waits) / measures.calls:.2%}: half {median:.0f} s, p99 {p99:.0f} s",
        ),
        Finding("time of accounts without a call", f"{idle:.1%}"),
        Finding("most accounts at rest at once", f"{max(each.resting for each in samples):,}"),
        Finding("most calls under way at once", f"{max(each.active for each in samples):,}"),
        Finding("decisions a second of CPU time, choosing alone", f"{rate:,.0f}"),
        Finding("the same with everything that is simulated", f"{measures.decisions / took:,.0f}"),
    ]  # fmt: skip


def table(found: Sequence[Finding]) -> str:
    """Return the findings as a table."""
    lines = ["| | | bar | |", "| --- | --- | --- | --- |"]
    for each in found:
        verdict = ("met" if each.met else "**missed**") if each.bar else ""
        lines.append(f"| {each.name} | {each.value} | {each.bar} | {verdict} |")
    return "\n".join(lines)
