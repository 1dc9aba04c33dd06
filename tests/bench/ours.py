"""What only our gateway is measured for: memory over many calls, and its start."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from contextlib import ExitStack
from dataclasses import replace

from tests.bench.machine import free_port, rss_mb, running
from tests.bench.measure import Effort, Result, load, set_upstream
from tests.bench.rows import Bench, gateway, gateway_command, gateway_environment, set_up_gateway
from tests.bench.workloads import WORKLOADS

PARTS = 10
CONCURRENCY = 50
START_SECONDS = 60.0
HEADERS = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
CALL = json.dumps(
    {
        "model": "claude-sonnet-4-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Hello"}],
    }
)


def memory(bench: Bench, name: str, effort: Effort) -> Result:
    """Return a fresh gateway's memory after many calls, and its slope over their second half."""
    set_upstream(bench, WORKLOADS[0])
    with ExitStack() as stack:
        own = replace(bench, stack=stack, systems={}, missing={})
        system = gateway(own, name, f"{name}-rss")
        assert system.pid is not None
        each = effort.rss_calls // PARTS
        points = [(0, rss_mb(system.pid))]
        errors = 0
        for part in range(1, PARTS + 1):
            arguments = ["-concurrency", str(CONCURRENCY), "-requests", str(each)]
            errors += load(bench, system, arguments, 1200)["errors"]
            points.append((part * each, rss_mb(system.pid)))
    late = points[len(points) // 2 :]
    slope = statistics.linear_regression([x for x, _ in late], [y for _, y in late]).slope
    return {
        "calls": PARTS * each,
        "errors": errors,
        "rss_mb": points[-1][1],
        "slope_kb_per_1000_calls": 1e6 * slope,
        "points": [[calls, round(size, 2)] for calls, size in points],
    }


def start(bench: Bench, name: str, effort: Effort) -> Result:
    """Return the seconds from spawning `serve` to its first call, the first start left out."""
    set_upstream(bench, WORKLOADS[0])
    key = set_up_gateway(bench, name, bench.directory / f"{name}-start")
    took = [_one_start(bench, name, key) for _ in range(effort.starts + 1)][1:]
    return {
        "accept_seconds": statistics.median(accepted for accepted, _ in took),
        "answer_seconds": statistics.median(answered for _, answered in took),
        "starts": [[round(each, 3) for each in pair] for pair in took],
    }


def _one_start(bench: Bench, name: str, key: str) -> tuple[float, float]:
    port, log = free_port(), bench.directory / f"{name}-start.log"
    environment = gateway_environment(bench.directory / f"{name}-start", name)
    began, accepted = time.perf_counter(), 0.0
    with running(bench.cores.tested, gateway_command(port), log, environment) as process:
        while time.perf_counter() - began < START_SECONDS and process.poll() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.connect()
                accepted = accepted or time.perf_counter() - began
                # A whole call: a listening socket alone serves nobody.
                connection.request("POST", "/v1/messages", CALL, {**HEADERS, "x-api-key": key})
                status = connection.getresponse().status
                connection.close()
            except (OSError, http.client.HTTPException):
                status = 0
            if status == 200:
                return accepted, time.perf_counter() - began
            time.sleep(0.005)
    raise RuntimeError(f"serve did not start: {log.read_text(errors='replace')[-400:]}")
