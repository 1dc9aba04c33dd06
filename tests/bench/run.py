"""`make bench`: the gateway against its upstream directly. Interleaved rounds, medians, ratios.

ARGS: `--rounds N --seconds S --write` (write docs/benchmarks.md).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORKLOADS = [
    (kind, size, concurrency)
    for kind in ("whole", "stream")
    for size in ("small", "large")
    for concurrency in (1, 50)
]
TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(core: int, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command on one core until the block ends."""
    pinned = ["taskset", "-c", str(core), sys.executable, *command]
    process = subprocess.Popen(
        pinned, cwd=ROOT, env={**os.environ, **environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def reachable(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1).close()  # noqa: S310  our own server
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"{url} does not answer")


def listening(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on {port}")


def sub2api(data: str, *arguments: str) -> Any:
    command = [sys.executable, "-m", "sub2api", *arguments, "--json"]
    environ = {**os.environ, "DATA_DIR": data, "RUN_MODE": "simple"}
    done = subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True)
    return json.loads(done.stdout)


def load(url: str, key: str, workload: str, concurrency: int, seconds: float) -> dict[str, float]:
    """Run the load generator on the first core, beside the fake vendor."""
    command = ["taskset", "-c", "0", sys.executable, "-m", "tests.bench.load"]
    arguments = [url, key, workload, str(concurrency), str(seconds)]
    done = subprocess.run([*command, *arguments], cwd=ROOT, check=True, capture_output=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Measure every workload, direct and through the gateway in turns."""
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory())
        vendor, port = free_port(), free_port()
        stack.enter_context(running(0, "-m", "tests.bench.upstream", str(vendor)))
        listening(vendor)
        direct = f"http://127.0.0.1:{vendor}"
        sub2api(data, "setup", "--mode", "simple")
        account = ["--platform", "anthropic", "--name", "bench", "--api-key", "k"]
        sub2api(data, "account", "add", *account, "--base-url", direct)
        key = sub2api(data, "key", "create", "--name", "bench")["key"]
        environ = {"DATA_DIR": data, "RUN_MODE": "simple", "LOG_LEVEL": "warning"}
        serve = ("-m", "sub2api", "serve", "--port", str(port))
        process = stack.enter_context(running(1, *serve, **environ))
        reachable(f"http://127.0.0.1:{port}/ready")
        gateway = f"http://127.0.0.1:{port}"
        load(gateway, key, "whole-small", 10, 2)  # warm up
        return [
            one((direct, gateway), key, workload, (rounds, seconds), process.pid)
            for workload in WORKLOADS
        ]


def one(
    urls: tuple[str, str],
    key: str,
    workload: tuple[str, str, int],
    effort: tuple[int, float],
    pid: int,
) -> dict[str, Any]:
    kind, size, concurrency = workload
    found: dict[str, list[dict[str, float]]] = {url: [] for url in urls}
    cpu = calls = 0.0
    for _ in range(effort[0]):
        for url in urls:
            before = cpu_seconds(pid)
            result = load(url, key, f"{kind}-{size}", concurrency, effort[1])
            found[url].append(result)
            if url == urls[1]:
                cpu += cpu_seconds(pid) - before
                calls += result["calls"]

    def median(url: str, name: str) -> float:
        return statistics.median(result[name] for result in found[url])

    direct, gateway = urls
    return {
        "workload": f"{kind}, {'4 KB' if size == 'small' else '400 KB'}, c={concurrency}",
        "direct_per_second": median(direct, "per_second"),
        "gateway_per_second": median(gateway, "per_second"),
        "ratio": median(gateway, "per_second") / median(direct, "per_second"),
        "added_p50_ms": median(gateway, "p50_ms") - median(direct, "p50_ms"),
        "added_p99_ms": median(gateway, "p99_ms") - median(direct, "p99_ms"),
        "added_first_byte_ms": median(gateway, "first_byte_p50_ms")
        - median(direct, "first_byte_p50_ms"),
        "cpu_ms_per_call": 1000 * cpu / calls,
        "rss_mb": rss_mb(pid),
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| workload | direct /s | gateway /s | ratio | added p50 ms | added p99 ms "
        "| added first byte ms | CPU ms/call | RSS MB |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {row['workload']} | {row['direct_per_second']:,.0f} | {row['gateway_per_second']:,.0f} "
        f"| {row['ratio']:.3f} | {row['added_p50_ms']:.2f} | {row['added_p99_ms']:.2f} "
        f"| {row['added_first_byte_ms']:.2f} | {row['cpu_ms_per_call']:.2f} | {row['rss_mb']:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


PAGE = """# Benchmarks

`{command}` on {machine}, Python {python}: medians of {rounds} interleaved
rounds of {seconds:g} s each. The gateway has one core to itself; the fake vendor
(`tests/bench/upstream.py`, fixed replies) and the load generator (`tests/bench/load.py`) share the
other. Everything is on that exists: key check, concurrency slots, metering, journal, usage rows in
SQLite. Requests are Messages calls of 4 KB or 400 KB; replies are 1.5 KB of JSON or a stream of 60
events. "Added" is against the vendor directly, in the same run.

{table}

There is no target yet: this is the Quart door under Hypercorn, and these figures are what a faster
front door will be measured against. `python -m tests.bench.pool` measures our pool alone.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows = measure(options.rounds, options.seconds)
    shown = table(rows)
    print(shown)
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "bench.json").write_text(json.dumps(rows, indent=2))
    if options.write:
        page = PAGE.format(
            command=f'make bench ARGS="--rounds {options.rounds} --seconds {options.seconds:g}"',
            machine=f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()}",
            python=platform.python_version(),
            rounds=options.rounds,
            seconds=options.seconds,
            table=shown,
        )
        (ROOT / "docs" / "benchmarks.md").write_text(page)


if __name__ == "__main__":
    main()
