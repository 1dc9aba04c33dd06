"""Ten minutes of mixed load on a vendor in a bad mood: nothing grows, and the books agree.

    python -m tests.soak [--minutes 10] [--concurrency 12]

The gateway is a process of its own; clients and the scripted vendor share this one. Prints what it
measured every half minute; fails when memory, descriptors or tasks grow, or a nanodollar is off.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import msgspec

from sub2api.demo.script import Play, Refuse, Step, html
from sub2api.demo.upstream import DemoUpstream
from tests.fakes.world import running_world
from tests.journeys.test_exactness import one_call, tokens_of
from tests.journeys.test_recovery import free_port, reachable

SAMPLE_SECONDS = 30.0
MOST_GROWTH_MB_PER_10_MINUTES = 10.0
ACCOUNTS = [f"{vendor}-{n}" for vendor in ("anthropic", "openai", "gemini") for n in (1, 2)]
UNITS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_creation_tokens",
    "cache_write_long": "cache_creation_long_tokens",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """What the gateway's process had at a moment."""

    at: float
    calls: int
    rss_mb: float
    descriptors: int
    tasks: int


def mood(chance: random.Random) -> Step:
    """Return what the vendor does with a call: mostly what it should."""
    draw = chance.random()
    if draw < 0.04:
        return Refuse(chance.choice([429, 500, 503, 529]))
    if draw < 0.05:
        return html()
    if draw < 0.08:
        return Play(cut_after=chance.randrange(12), cut_how="rst")
    if draw < 0.10:
        return Play(chunks=chance.randrange(1, 50))
    return Play(delay=chance.choice([0.0, 0.001, 0.01]))


class Soak:
    """One run."""

    def __init__(self, upstream: DemoUpstream, base_url: str, key: str, pid: int) -> None:
        self._upstream = upstream
        self._base_url = base_url
        self._key = key
        self._pid = pid
        self._calls = 0
        self.samples: list[Sample] = []

    async def run(self, minutes: float, concurrency: int) -> int:
        """Call for that long; return how many calls were made."""
        ends = time.monotonic() + minutes * 60
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._measure(ends))
            for number in range(concurrency):
                tasks.create_task(self._client(number, ends))
        return self._calls

    async def _client(self, number: int, ends: float) -> None:
        headers = {"authorization": f"Bearer {self._key}"}
        chance = random.Random(number)
        world: Any = None  # `one_call` needs a client only
        async with httpx.AsyncClient(
            base_url=self._base_url, headers=headers, timeout=60
        ) as client:
            while time.monotonic() < ends:
                self._calls += 1
                self._upstream.script(chance.choice(ACCOUNTS), mood(chance))
                await one_call(world, client, self._calls)
                await asyncio.sleep(chance.random() * 0.02)  # half of what it could carry

    async def _measure(self, ends: float) -> None:
        async with httpx.AsyncClient(base_url=self._base_url, timeout=60) as client:
            while time.monotonic() < ends:
                await asyncio.sleep(min(SAMPLE_SECONDS, max(0.0, ends - time.monotonic())))
                text = (await client.get("/metrics")).text
                tasks = re.search(r"^sub2api_tasks (\S+)", text, re.MULTILINE)
                sample = Sample(
                    at=time.monotonic(),
                    calls=self._calls,
                    rss_mb=_rss_mb(self._pid),
                    descriptors=len(list(Path(f"/proc/{self._pid}/fd").iterdir())),
                    tasks=int(float(tasks[1])) if tasks else -1,
                )
                self.samples.append(sample)
                print(
                    f"{sample.calls:7} calls  {sample.rss_mb:6.1f} MB  "
                    f"{sample.descriptors:4} descriptors  {sample.tasks:4} tasks",
                    flush=True,
                )


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) / 1000 if found else 0.0


def complaints(samples: list[Sample], concurrency: int) -> list[str]:
    """Compare the last third with the second: the first one warms caches up."""
    third = max(1, len(samples) // 3)
    middle, late = samples[third : 2 * third] or samples[:1], samples[-third:]
    said = []
    minutes = max(0.5, (late[-1].at - middle[0].at) / 60)
    growth = min(each.rss_mb for each in late) - min(each.rss_mb for each in middle)
    if growth / minutes * 10 > MOST_GROWTH_MB_PER_10_MINUTES:
        said.append(f"memory grew by {growth:.1f} MB in {minutes:.1f} minutes")
    if late[-1].descriptors > middle[0].descriptors + 2 * concurrency:
        said.append(f"descriptors grew from {middle[0].descriptors} to {late[-1].descriptors}")
    if late[-1].tasks > middle[0].tasks + 2 * concurrency:
        said.append(f"tasks grew from {middle[0].tasks} to {late[-1].tasks}")
    return said


def reconcile(database: Path, upstream: DemoUpstream, calls: int) -> list[str]:
    """Compare the rows with the vendor's books, and every cost with its own unit prices."""
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    rows = connection.execute("SELECT * FROM usage").fetchall()
    connection.close()
    said = [] if len(rows) == calls else [f"{calls} calls left {len(rows)} rows"]
    ours = Counter(
        (
            row["account_name"],
            row["wire"],
            row["input_tokens"] + row["cache_read_tokens"] + row["cache_creation_tokens"]
            + row["cache_creation_long_tokens"],
            row["output_tokens"],
        )
        for row in rows
        if row["input_tokens"] or row["output_tokens"]
    )  # fmt: skip
    books = [
        ((entry.credential, entry.wire, *tokens_of(entry.wire, entry.usage)), entry.complete)
        for entry in upstream.entries
        if entry.usage
    ]
    if extra := ours - Counter(entry for entry, _ in books):
        said.append(f"billed what the vendor does not know of: {dict(extra)}")
    if missing := Counter(entry for entry, complete in books if complete) - ours:
        said.append(f"not billed: {dict(missing)}")
    return said + [wrong for row in rows if (wrong := _wrong_cost(row))]


def _wrong_cost(row: sqlite3.Row) -> str:
    pricing = msgspec.json.decode(row["pricing"])
    units = pricing.get("units", {})
    reasoning = msgspec.json.decode(row["details"]).get("reasoning", 0)
    used = {name: row[column] for name, column in UNITS.items()}
    if "reasoning" in units:
        used["reasoning"] = min(reasoning, used["output"])
        used["output"] -= used["reasoning"]
    cost = round(Fraction(sum(units.get(name, 0) * count for name, count in used.items()), 10**6))
    return "" if cost == row["cost"] else f"{row['call_id']}: {row['cost']} is not {cost}"


async def soak(minutes: float, concurrency: int, directory: Path) -> list[str]:
    """Run it; return what was wrong."""
    upstream = DemoUpstream()
    upstream.ledger.entries = deque()  # all of them, not the newest
    await upstream.start()
    environment = {"GATEWAY_DISCONNECT": "drain", "LOG_LEVEL": "error"}
    async with running_world(directory, upstream, **environment) as world:
        for name in ACCOUNTS[1::2]:
            await world.add_account(name.partition("-")[0], name)
        key = world.key
    port = free_port()
    environ = {**os.environ, "RUN_MODE": "simple", "DATA_DIR": str(directory), **environment}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sub2api", "serve", "--port", str(port), env=environ
    )
    try:
        await reachable(port)
        run = Soak(upstream, f"http://127.0.0.1:{port}", key, process.pid)
        calls = await run.run(minutes, concurrency)
        process.terminate()
        await process.wait()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await upstream.stop()
    print(f"{calls} calls in {minutes} minutes")
    return complaints(run.samples, concurrency) + reconcile(
        directory / "sub2api.db", upstream, calls
    )


def main() -> int:
    """Soak; say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--concurrency", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        said = asyncio.run(soak(options.minutes, options.concurrency, Path(directory)))
    for complaint in said[:20]:
        print(f"FAILED: {complaint}", file=sys.stderr)
    print("Nothing grew, and the books agree." if not said else f"{len(said)} complaints")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
