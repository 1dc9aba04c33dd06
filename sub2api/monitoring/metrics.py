"""Numbers for Prometheus, gathered on the event loop without locks and without its library.

A call costs a few list and dictionary accesses; `prometheus-client` is imported, and families are
built, only when somebody asks. Source of the format: Prometheus' exposition formats.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
_FIRST_TOKEN = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0, 120.0)
_QUEUE = (0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)

Labels = tuple[str, str]
"""Route (the client's wire) and platform."""


class Histogram:
    """Counts of values by upper bound, in seconds, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Take a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add(self, other: Histogram) -> None:
        """Take all that another with the same bounds has seen."""
        self.counts = [one + two for one, two in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def cumulative(self) -> list[tuple[str, int]]:
        """Return (upper bound, how many values are at most that), as Prometheus wants them."""
        reached = 0
        found = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            reached += count
            found.append((bound, reached))
        return found


class _Series:
    """What is known of the calls of one route, platform and status."""

    __slots__ = ("calls", "first_token", "overhead", "queue", "unqueued")

    def __init__(self) -> None:
        self.calls = 0
        self.unqueued = 0
        """Calls that did not wait: nearly all, so they are only counted."""
        self.overhead = Histogram(_OVERHEAD)
        self.queue = Histogram(_QUEUE)
        self.first_token = Histogram(_FIRST_TOKEN)


class Metrics:
    """What one process has seen. `gauges` are asked when somebody reads: name -> (help, value)."""

    def __init__(self) -> None:
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._series: dict[tuple[str, str, int], _Series] = {}

    def served(
        self, wire: str, platform: str, status: int, seconds: tuple[float, float, float | None]
    ) -> None:
        """Count a call; `seconds` are our own work, the wait for a slot, and the first token.

        Without a platform it was refused before any account was called: only the status counts.
        """
        series = self._series.get((wire, platform, status))
        if series is None:
            series = self._series[wire, platform, status] = _Series()
        series.calls += 1
        if not platform:
            return
        overhead, queue, first_token = seconds
        series.overhead.observe(overhead)
        if queue:
            series.queue.observe(queue)
        else:
            series.unqueued += 1
        if first_token is not None:
            series.first_token.observe(first_token)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(_Collected(self._families()))
        return generate_latest(registry)

    def _families(self) -> Iterator[Any]:
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        calls = CounterMetricFamily(
            "sub2api_calls", "Calls by status.", labels=("route", "platform", "status")
        )
        for (wire, platform, status), series in self._series.items():
            calls.add_metric((wire, platform, str(status)), series.calls)
        yield calls
        for name, text, bounds, histogram_of in _HISTOGRAMS:
            family = HistogramMetricFamily(
                f"sub2api_{name}_seconds", text, labels=("route", "platform")
            )
            sums: dict[Labels, Histogram] = {}
            for (wire, platform, _), series in self._series.items():
                if platform:
                    total = sums.setdefault((wire, platform), Histogram(bounds))
                    total.add(histogram_of(series))
            for labels, total in sums.items():
                if any(total.counts):
                    family.add_metric(labels, total.cumulative(), total.total)
            yield family
        for name, (text, read) in self.gauges.items():
            yield GaugeMetricFamily(f"sub2api_{name}", text, value=read())


class _Collected:
    """What the library calls a collector: families that are there already."""

    def __init__(self, families: Iterator[Any]) -> None:
        self._families = list(families)

    def collect(self) -> list[Any]:
        return self._families


def _queued(series: _Series) -> Histogram:
    waits = Histogram(_QUEUE)
    waits.counts[0] = series.unqueued
    waits.add(series.queue)
    return waits


_HISTOGRAMS: tuple[tuple[str, str, tuple[float, ...], Callable[[_Series], Histogram]], ...] = (
    (
        "overhead",
        "Time the gateway itself spent on a call.",
        _OVERHEAD,
        lambda series: series.overhead,
    ),
    (
        "time_to_first_token",
        "Time to a call's first generated content.",
        _FIRST_TOKEN,
        lambda series: series.first_token,
    ),
    ("queue_wait", "Time a call waited for a slot.", _QUEUE, _queued),
)
