"""The public benchmark: the gateway beside nginx, Go and the usual Python stack.

`python -m tests.bench.run` after `tools/bench_setup.sh`. Rounds are interleaved, results are
medians, ratios are of the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tests.bench import bars, machine, ours, report
from tests.bench.chart import chart
from tests.bench.machine import BUILD
from tests.bench.measure import Effort, Result, measure, warm_up
from tests.bench.rows import DOOR, EXPRESS, LITELLM, ROWS, STACK, Bench
from tests.bench.workloads import NAMES, OURS_ONLY, WORKLOADS

COMMITTED = Path(__file__).parent / "results.json"
SATURATING = tuple(each.name for each in WORKLOADS if each.saturates)
# Rows that need minutes for what shows nothing new, or that such a load brings to a stop.
LEFT_OUT = {"streams-c2000": {STACK, LITELLM}, "paced-c200": {LITELLM}, "wait-c200": {LITELLM}}


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a row's part of a round")
    parser.add_argument("--rows", help=f"some of {','.join(ROWS)}")
    parser.add_argument("--workloads", help=f"some of {','.join(NAMES)}")
    parser.add_argument("--rss-calls", type=int, default=100_000)
    parser.add_argument("--peers", action="store_true", help="the LiteLLM row too")
    parser.add_argument("--quick", action="store_true", help="one short round: does it work?")
    parser.add_argument("--check", action="store_true", help="fail when a bar is not reached")
    parser.add_argument("--json", type=Path, help="where results go")
    parser.add_argument("--write", type=Path, default=BUILD, help="where page and chart go")
    options = parser.parse_args(arguments)
    rows = [each for each in ROWS if each != LITELLM or options.peers]
    options.rows = _chosen(parser, options.rows, rows, ROWS)
    options.workloads = _chosen(parser, options.workloads, list(NAMES), NAMES)
    options.peers = LITELLM in options.rows
    whole = options.rows[: len(ROWS) - 1] == list(ROWS[:-1]) and not options.quick
    if options.json is None:
        complete = whole and len(options.workloads) == len(NAMES)
        options.json = COMMITTED if complete else BUILD / "results.json"
    return options


def _chosen(
    parser: argparse.ArgumentParser, given: str | None, default: list[str], known: Sequence[str]
) -> list[str]:
    if not given:
        return default
    names = given.split(",")
    if unknown := [name for name in names if name not in known]:
        parser.error(f"{unknown[0]} is none of {', '.join(known)}")
    return [name for name in known if name in names]


def say(text: str) -> None:
    """Print now: a run takes long, and is watched."""
    print(text, flush=True)


def measured(options: argparse.Namespace, effort: Effort) -> dict[str, Any]:
    """Start the rows, run the workloads, return everything."""
    results: dict[str, Any] = {"workloads": {}}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        bench = Bench(stack, directory, machine.cores())
        os.sched_setaffinity(0, {bench.cores.load})
        bench.start_upstream()
        for name in options.rows:
            bench.start(name)
        warm_up(bench)
        for workload in WORKLOADS:
            if workload.name not in options.workloads:
                continue
            say(f"\n{workload.name}: {workload.about}")
            some = _without(bench, LEFT_OUT.get(workload.name, set()))
            rows = results["workloads"][workload.name] = measure(some, workload, effort)
            say(report.workload_table(workload, rows))
        results["missing"] = bench.missing
        for part in OURS_ONLY:
            if part in options.workloads:
                results[part] = _ours(part, bench, options.rows, effort)
    return results


def _without(bench: Bench, names: set[str]) -> Bench:
    kept = {name: system for name, system in bench.systems.items() if name not in names}
    return replace(bench, systems=kept)


def _ours(part: str, bench: Bench, rows: Sequence[str], effort: Effort) -> dict[str, Result]:
    """Measure our gateway's own figures: through the express lane if that is among the rows."""
    name = next((each for each in (EXPRESS, DOOR) if each in rows), None)
    if name is None:
        return {}
    measures: dict[str, Callable[[Bench, str, Effort], Result]]
    measures = {"rss": ours.memory, "start": ours.start}
    say(f"\n{part}: {name}")
    try:
        return {name: measures[part](bench, name, effort)}
    except (RuntimeError, OSError, ValueError) as error:
        return {name: {"failed": str(error)[-400:]}}


def save(options: argparse.Namespace, results: Mapping[str, Any]) -> list[bars.Verdict]:
    """Write results, page and chart; return the verdicts."""
    verdicts = bars.judged(results, peers=options.peers)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(results, indent=2) + "\n")
    options.write.mkdir(parents=True, exist_ok=True)
    (options.write / "benchmarks.md").write_text(report.page(results, verdicts, "benchmarks.svg"))
    (options.write / "benchmarks.svg").write_text(chart(results))
    return verdicts


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; return the exit code."""
    options = options_of(arguments)
    if not (BUILD / "load").exists():
        raise SystemExit("the benchmark's programs are not built: sh tools/bench_setup.sh")
    # A stop must end what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    machine.raise_file_limit()
    effort = Effort(options.rounds, options.seconds, options.rss_calls)
    if options.quick:
        effort = Effort(rounds=1, seconds=1.0, rss_calls=5_000, starts=1)
    facts = {**machine.facts(), "shared": machine.cores().shared}
    results = {
        "command": " ".join(["python -m tests.bench.run", *arguments]),
        "machine": facts,
        "effort": asdict(effort),
        **measured(options, effort),
    }
    results["invalid"] = bars.invalid(results, SATURATING)
    verdicts = save(options, results)
    for text in report.own_tables(results):
        say(f"\n{text}")
    say(f"\n{report.bars_table(verdicts)}\n\n{report.validity(results)}")
    for note in report.notes(results):
        say(f"- {note}")
    say(f"\nWritten: {options.json}, {options.write}/benchmarks.md and .svg")
    failed = bool(results.get("invalid")) or not all(each.passed for each in verdicts)
    return int(options.check and failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
