"""Measure: workloads over rows in turns, and their medians."""

from __future__ import annotations

import json
import statistics
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench.machine import BUILD, ROOT, Moment, cpu_seconds, rss_mb
from tests.bench.rows import Bench, System
from tests.bench.workloads import Workload

Result = dict[str, Any]
WARM_UP = 1.0
WARM_CALLS, WARM_SECONDS = 300, 120.0
REST = 15.0
SAMPLE_SECONDS = 0.2
ADDED = ("p50_ms", "p99_ms", "ttfb_p50_ms", "late_p50_ms", "late_p99_ms")


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    rounds: int = 3
    seconds: float = 5.0
    rss_calls: int = 100_000
    starts: int = 5


def set_upstream(bench: Bench, workload: Workload) -> None:
    """Tell the fake upstream how to answer, for every row alike: not all pass headers on."""
    headers = {
        "x-bench-events": str(workload.events),
        "x-bench-gap-ms": str(workload.gap_ms),
        "x-bench-delay-ms": str(workload.delay_ms),
    }
    request = urllib.request.Request(f"http://{bench.upstream}/bench", headers=headers)
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310


def load(bench: Bench, system: System, arguments: Sequence[str], most_seconds: float) -> Result:
    """Run the load generator on its core; return what it saw."""
    command = ["taskset", "-c", str(bench.cores.load), str(BUILD / "load")]
    target = ["-url", system.url, "-key", system.key]
    done = subprocess.run(
        [*command, *target, *arguments], cwd=ROOT, capture_output=True, timeout=most_seconds
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr.decode(errors='replace')}")
    seen: Result = json.loads(done.stdout)
    return seen


def arguments_of(workload: Workload, seconds: float) -> list[str]:
    """Return the load generator's arguments for a timed run."""
    return [
        "-concurrency", str(workload.concurrency), "-body", str(workload.body),
        f"-stream={'true' if workload.stream else 'false'}", "-events", str(workload.events),
        "-duration", f"{seconds}s", "-warm-up", f"{WARM_UP + workload.ramp}s",
        "-ramp", f"{workload.ramp}s", "-rest", f"{REST}s",
    ]  # fmt: skip


@contextmanager
def highest_rss(pid: int | None) -> Iterator[Callable[[], float]]:
    """Watch a process's memory during the block; the function returns the highest seen, in MB."""
    highest, done = [0.0], threading.Event()

    def watch() -> None:
        while pid is not None and not done.wait(SAMPLE_SECONDS):
            highest[0] = max(highest[0], rss_mb(pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lambda: highest[0]
    finally:
        done.set()
        watcher.join()


def once(bench: Bench, system: System, workload: Workload, seconds: float) -> Result:
    """Measure one row once."""
    pid = system.pid
    cpu = cpu_seconds(pid) if pid else 0.0
    watched = [bench.upstream_pid, *([pid] if pid else [])]
    before = Moment.now(watched)
    most = WARM_UP + workload.ramp + seconds + REST + 30
    with highest_rss(pid) as highest:
        seen = load(bench, system, arguments_of(workload, seconds), most)
    seen |= Moment.now(watched).since(before)
    if pid:
        calls = max(seen["all_requests"], 1)
        seen["cpu_ms_per_call"] = 1000 * (cpu_seconds(pid) - cpu) / calls
        seen["rss_mb"] = rss_mb(pid)
        added = max(highest(), seen["rss_mb"]) - system.rss_mb
        seen["rss_added_kb_per_caller"] = 1000 * added / workload.concurrency
    return seen


def measure(bench: Bench, workload: Workload, effort: Effort) -> dict[str, Result]:
    """Measure a workload on all rows, in turns; return each row's medians."""
    set_upstream(bench, workload)
    found: dict[str, list[Result]] = {name: [] for name in bench.systems}
    for _ in range(effort.rounds):
        for name, system in bench.systems.items():
            try:
                found[name].append(once(bench, system, workload, effort.seconds))
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                found[name].append({"failed": str(error)[-400:]})
    rows = {name: median_of(results) for name, results in found.items()}
    direct = rows.get("direct")
    for row in rows.values():
        if direct and row is not direct:
            row["added"] = {
                each: row[each] - direct[each] for each in ADDED if each in row and each in direct
            }
    return rows


SUMS = frozenset(
    ("requests", "all_requests", "errors", "unfinished", "events", "lost", "reordered")
)


def median_of(results: Sequence[Result]) -> Result:
    """Return the medians of a row's rounds; counts of what went wrong are sums."""
    failures = [each["failed"] for each in results if "failed" in each]
    if failures:
        return {"failed": failures[0]}
    merged: Result = {}
    for name in dict.fromkeys(name for each in results for name in each):
        values = [each[name] for each in results if name in each]
        if isinstance(values[0], str):
            merged[name] = next((value for value in values if value), "")
        elif name in SUMS:
            merged[name] = sum(values)
        elif name == "rss_added_kb_per_caller":
            # The most counts: later rounds find memory that the first one took.
            merged[name] = max(values)
        else:
            merged[name] = statistics.median(values)
    merged["rounds_per_second"] = [round(each["per_second"], 1) for each in results]
    return merged


def warm_up(bench: Bench) -> None:
    """Let every row open its connections and fill its caches."""
    set_upstream(bench, Workload("warm-up", "", 20))
    arguments = ["-concurrency", "20", "-requests", str(WARM_CALLS)]
    for name, system in list(bench.systems.items()):
        try:
            seen = load(bench, system, arguments, WARM_SECONDS)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            seen = {"requests": 0, "error": str(error)}
        if not seen["requests"]:
            bench.missing[name] = f"it served no call: {seen['error']}"
            del bench.systems[name]
        elif system.pid:
            system.rss_mb = rss_mb(system.pid)
