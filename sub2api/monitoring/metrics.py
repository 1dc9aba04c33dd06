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

    def cumulative(self) -> list[tuple[str, int]]:
        """Return (upper bound, how many values are at most that), as Prometheus wants them."""
        reached = 0
        found = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            reached += count
            found.append((bound, reached))
        return found


class Metrics:
    """What one process has seen. `gauges` are asked when somebody reads: name -> (help, value)."""

    def __init__(self) -> None:
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._calls: dict[tuple[str, str, int], int] = {}
        self._overhead: dict[Labels, Histogram] = {}
        self._first_token: dict[Labels, Histogram] = {}
        self._queue: dict[Labels, Histogram] = {}

    def served(
        self, wire: str, platform: str, status: int, seconds: tuple[float, float, float | None]
    ) -> None:
        """Count a call; `seconds` are our own work, the wait for a slot, and the first token.

        Without a platform it was refused before any account was called: only the status counts.
        """
        counted = (wire, platform, status)
        self._calls[counted] = self._calls.get(counted, 0) + 1
        if not platform:
            return
        labels = (wire, platform)
        overhead, queue, first_token = seconds
        _of(self._overhead, labels, _OVERHEAD).observe(overhead)
        _of(self._queue, labels, _QUEUE).observe(queue)
        if first_token is not None:
            _of(self._first_token, labels, _FIRST_TOKEN).observe(first_token)

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
        for (wire, platform, status), count in self._calls.items():
            calls.add_metric((wire, platform, str(status)), count)
        yield calls
        for name, text, histograms in (
            ("overhead", "Time the gateway itself spent on a call.", self._overhead),
            ("time_to_first_token", "Time to a call's first generated content.", self._first_token),
            ("queue_wait", "Time a call waited for a slot.", self._queue),
        ):
            family = HistogramMetricFamily(
                f"sub2api_{name}_seconds", text, labels=("route", "platform")
            )
            for labels, histogram in histograms.items():
                family.add_metric(labels, histogram.cumulative(), histogram.total)
            yield family
        for name, (text, read) in self.gauges.items():
            yield GaugeMetricFamily(f"sub2api_{name}", text, value=read())


class _Collected:
    """What the library calls a collector: families that are there already."""

    def __init__(self, families: Iterator[Any]) -> None:
        self._families = list(families)

    def collect(self) -> list[Any]:
        return self._families


def _of(
    histograms: dict[Labels, Histogram], labels: Labels, bounds: tuple[float, ...]
) -> Histogram:
    found = histograms.get(labels)
    if found is None:
        found = histograms[labels] = Histogram(bounds)
    return found
