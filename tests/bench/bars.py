"""The bars that the gateway must reach, as pure functions of a run's results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.rows import DIRECT, EXPRESS, GO, LIMITED, LITELLM, NGINX, STACK

Results = Mapping[str, Any]
VALID_RATIO = 1.25
VALID_LATE_MS = 5.0
KEEPS_UP = 0.95
RSS_CALLS = 100_000


class MissingError(Exception):
    """A bar's value cannot be had: what is missing, in a few words."""


@dataclass(frozen=True)
class Bar:
    """One bar. `aim` is where we would like to be; None is no more than the bar."""

    workload: str
    text: str
    value: Callable[[Results], float]
    bar: float
    aim: float | None = None
    at_most: bool = False
    peers: bool = False


@dataclass(frozen=True)
class Verdict:
    """What became of a bar; `value` is None when it could not be had, which fails."""

    bar: Bar
    value: float | None
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the value is there and reaches the bar."""
        return self.value is not None and not self.note and _reaches(self.value, self.bar)

    @property
    def reaches_aim(self) -> bool:
        """Whether the value is as good as we would like."""
        aim = self.bar.aim
        if aim is None or self.value is None or not self.passed:
            return False
        return self.value <= aim if self.bar.at_most else self.value >= aim


def _reaches(value: float, bar: Bar) -> bool:
    return value <= bar.bar if bar.at_most else value >= bar.bar


def _row(results: Results, workload: str, name: str) -> Mapping[str, Any]:
    row: Mapping[str, Any] | None = results["workloads"].get(workload, {}).get(name)
    if row is None:
        raise MissingError(f"no {name} row")
    if "failed" in row:
        raise MissingError(f"{name} failed")
    return row


def _divided(ours: float, theirs: float) -> float:
    if theirs <= 0:
        raise MissingError("nothing to compare with")
    return ours / theirs


def _rate(workload: str, other: str, one: str = EXPRESS) -> Callable[[Results], float]:
    def value(results: Results) -> float:
        ours = _row(results, workload, one)["per_second"]
        return _divided(ours, _row(results, workload, other)["per_second"])

    return value


def _added_p50(other: str) -> Callable[[Results], float]:
    def added(results: Results, name: str) -> float:
        row = _row(results, "whole-c1", name)
        if "added" not in row:
            raise MissingError(f"no {DIRECT} row")
        return float(row["added"]["p50_ms"])

    return lambda results: _divided(added(results, EXPRESS), added(results, other))


def _many(results: Results, *names: str) -> float:
    found: Any = _row(results, "streams-c2000", EXPRESS)
    for name in names:
        if name not in found:
            raise MissingError(f"no {DIRECT} row")
        found = found[name]
    return float(found)


def _broken(results: Results) -> float:
    names = ("lost", "reordered", "errors", "unfinished")
    if not _many(results, "events"):
        raise MissingError("no events")
    return sum(_many(results, name) for name in names)


def _own(part: str, name: str) -> Callable[[Results], float]:
    def value(results: Results) -> float:
        found = results.get(part, {}).get(EXPRESS)
        if found is None or "failed" in found:
            raise MissingError(f"no {EXPRESS} row")
        if part == "rss" and found["calls"] < RSS_CALLS:
            raise MissingError(f"only {found['calls']} calls")
        return float(found[name])

    return value


BARS = (
    Bar("whole-c50", "req/s / Go", _rate("whole-c50", GO), 1.5, 2.5),
    Bar("whole-c50", "req/s / nginx", _rate("whole-c50", NGINX), 0.25, 0.4),
    Bar("whole-c50", "req/s / Quart + Hypercorn + httpx", _rate("whole-c50", STACK), 25),
    Bar("whole-c50", "req/s / LiteLLM", _rate("whole-c50", LITELLM), 60, peers=True),
    Bar("whole-c50", "req/s, limits / none", _rate("whole-c50", EXPRESS, LIMITED), 0.9),
    Bar("stream-c50", "streams/s, limits / none", _rate("stream-c50", EXPRESS, LIMITED), 0.9),
    Bar("stream-c50", "streams/s / Go", _rate("stream-c50", GO), 1.2, 1.8),
    Bar("stream-c50", "streams/s / nginx", _rate("stream-c50", NGINX), 0.6, 1.0),
    Bar("large-c10", "req/s / Go", _rate("large-c10", GO), 1.0, 1.4),
    Bar("large-c10", "req/s / nginx", _rate("large-c10", NGINX), 0.3),
    Bar("whole-c1", "added p50 / Go's", _added_p50(GO), 1.5, 1.0, at_most=True),
    Bar("whole-c1", "added p50 / nginx's", _added_p50(NGINX), 2.5, at_most=True),
    Bar("streams-c2000", "events lost or reordered, calls failed", _broken, 0, at_most=True),
    Bar(
        "streams-c2000", "added inter-chunk p99, ms",
        lambda results: _many(results, "added", "late_p99_ms"), 5, at_most=True,
    ),
    Bar(
        "streams-c2000", "RSS per stream, KB",
        lambda results: _many(results, "rss_added_kb_per_caller"), 60, at_most=True,
    ),
    Bar("rss", "RSS after 100,000 calls, MB", _own("rss", "rss_mb"), 90, 70, at_most=True),
    Bar(
        "rss", "RSS slope, KB per 1,000 calls",
        _own("rss", "slope_kb_per_1000_calls"), 10, at_most=True,
    ),
    Bar("start", "spawn to first call served, s", _own("start", "answer_seconds"), 1.5, 0.8, True),
)  # fmt: skip


def judged(results: Results, *, peers: bool) -> list[Verdict]:
    """Judge every bar; those against optional peers only when they were asked for."""
    verdicts = []
    for bar in BARS:
        if bar.peers and not peers:
            continue
        try:
            verdicts.append(Verdict(bar, bar.value(results), _trouble(results, bar)))
        except MissingError as missing:
            verdicts.append(Verdict(bar, None, str(missing)))
    return verdicts


def _trouble(results: Results, bar: Bar) -> str:
    """Say why a value does not count: a fast row of errors is not fast."""
    if bar.workload in results.get("invalid", {}):
        return "invalid: see below"
    rows = results["workloads"].get(bar.workload, {})
    row, direct = rows.get(EXPRESS, {}), rows.get(DIRECT, {})
    if bar.workload in {"rss", "start"}:
        row = results.get(bar.workload, {}).get(EXPRESS, {})
    behind = row.get("events_per_second", 0.0) < KEEPS_UP * direct.get("events_per_second", 0.0)
    if bar.workload == "streams-c2000" and behind:
        return "fewer events a second than direct"
    failed = row.get("errors", 0)
    return f"{failed} calls failed" if failed else ""


def invalid(results: Results, saturating: tuple[str, ...]) -> dict[str, str]:
    """Return the workloads whose numbers say more of the load generator than of the rows."""
    return dict(_invalid(results, saturating))


def _invalid(results: Results, saturating: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for workload in saturating:
        if workload not in results["workloads"]:
            continue
        try:
            direct = _row(results, workload, DIRECT)["per_second"]
            ratio = _divided(direct, _row(results, workload, NGINX)["per_second"])
        except MissingError as missing:
            yield workload, str(missing)
            continue
        if ratio < VALID_RATIO:
            yield workload, f"direct is {ratio:.2f} x nginx, not {VALID_RATIO}"
    late = results["workloads"].get("streams-c2000", {}).get(DIRECT, {}).get("late_p99_ms", 0.0)
    if late > VALID_LATE_MS:
        yield "streams-c2000", f"direct's own inter-chunk p99 is {late:.1f} ms"
