"""Start `make run`, paste the requests it prints, check what they cost. Standard library only.

    python3 tools/try_demo.py [--through PROGRAM] [--port PORT]

PROGRAM runs a shell command where the product is (`sh -c` if not given); it needs curl on this
side. Every request must be answered by a stream of several events that come one after another, not
all at once; `sub2api usage` must list each of them, priced to the nanodollar. Costs are worked out
here anew: this file shares no code with the product.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

PRICES = Path(__file__).parent.parent / "sub2api" / "billing" / "prices.json"
START_SECONDS = 900.0
SHIP_SECONDS = 10.0
STOP_SECONDS = 30.0
ENDS = {
    "Messages": b"message_stop",
    "Responses": b"response.completed",
    "Chat": b"[DONE]",
    "Gemini": b'"finishReason"',
}
CLASSES = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache_read",
    "cache_creation_tokens": "cache_write",
}
LEAST_EVENTS = 4
LEAST_SPREAD_SECONDS = 0.05


class Failure(Exception):
    """The product does not do what it promises."""


class Demo:
    """A `make run`, from its start to its end."""

    def __init__(self, through: list[str], port: int) -> None:
        self._through = through
        self._output = tempfile.TemporaryFile("w+b")  # noqa: SIM115  closed by `stop`
        self._process = subprocess.Popen(
            [*through, f"make run ARGS='--port {port}'"],
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def said(self) -> str:
        """Return what it printed so far."""
        self._output.seek(0)
        return self._output.read().decode("utf-8", "replace")

    def requests(self) -> list[str]:
        """Return the printed curl commands, once they are all there and the server listens."""
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            said = self.said()
            commands = [line for line in said.splitlines() if line.startswith("curl ")]
            if len(commands) == len(ENDS) and "INFO listening" in said:
                return commands
            time.sleep(0.2)
        raise Failure("`make run` did not print its requests and listen")

    def usage(self, arguments: str) -> list[dict[str, Any]]:
        """Return the items that `sub2api usage` lists."""
        run = subprocess.run(
            [*self._through, f".venv/bin/sub2api usage {arguments} --json"],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise Failure(f"sub2api usage {arguments}: {run.stderr.strip()}")
        items: list[dict[str, Any]] = json.loads(run.stdout, parse_float=Decimal)["items"]
        return items

    def stop(self) -> None:
        """Tell it to stop. Raises Failure if it does not wind down by itself."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        said = self.said()
        self._output.close()
        if "INFO stopping" not in said:
            raise Failure("`make run` did not stop properly when told to")


def paste(wire: str, command: str) -> None:
    """Run a command as it was printed. Raises Failure unless it streams to a proper end."""
    moments: list[float] = []
    body = b""
    with subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.PIPE) as process:
        pipe = process.stdout
        while pipe and (piece := os.read(pipe.fileno(), 65536)):
            moments.append(time.monotonic())
            body += piece
    events = body.count(b"data: ")
    if process.returncode or ENDS[wire] not in body or events < LEAST_EVENTS:
        shown = body[-300:].decode("utf-8", "replace")
        raise Failure(f"{wire}: curl exit {process.returncode}, {events} events, ends: {shown}")
    spread = moments[-1] - moments[0]
    if spread < LEAST_SPREAD_SECONDS:
        raise Failure(f"{wire}: {events} events came at once, within {spread:.3f} s: no stream")
    print(f"{wire}: {events} events in {len(moments)} pieces over {spread:.2f} s")


def cost_of(row: dict[str, Any], prices: dict[str, Any]) -> int:
    """Return the nanodollars of a row's tokens at the model's standard rate, rounded half-even."""
    rates = prices["models"][row["model"]]["rates"]
    (rate,) = (each for each in rates if not {"tier", "above"} & each.keys())
    used = [(row[key], name) for key, name in CLASSES.items() if row[key]]
    return round(sum(Fraction(tokens * rate[name], 10**6) for tokens, name in used))


def check_usage(demo: Demo, prices: dict[str, Any]) -> None:
    """Raise Failure unless there is a row per request, and rows and sums are exact."""
    deadline = time.monotonic() + SHIP_SECONDS
    rows = demo.usage("--recent 100")
    while len(rows) < len(ENDS) and time.monotonic() < deadline:
        time.sleep(0.2)
        rows = demo.usage("--recent 100")
    if len(rows) != len(ENDS):
        raise Failure(f"{len(ENDS)} requests left {len(rows)} rows: {rows}")
    owed: dict[str, int] = {}
    for row in rows:
        cost = cost_of(row, prices)
        owed[row["model"]] = owed.get(row["model"], 0) + cost
        if row["status"] != 200 or not row["output_tokens"] or row["cost"] * 10**9 != cost:
            raise Failure(f"tokens x price is {cost} nanodollars, but the row says {row}")
        print(f"{row['model']}: {cost} nanodollars, exactly")
    sums = {each["model"]: each["cost"] * 10**9 for each in demo.usage("--by model")}
    if sums != owed:
        raise Failure(f"usage by model says {sums}, its rows add up to {owed}")


def main() -> int:
    """Try it; say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--through", help="program that runs a shell command elsewhere")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    demo = Demo([options.through] if options.through else ["sh", "-c"], options.port)
    try:
        try:
            for wire, command in zip(ENDS, demo.requests(), strict=True):
                paste(wire, command)
            check_usage(demo, json.loads(PRICES.read_bytes()))
        except Failure:
            print(demo.said(), file=sys.stderr)
            raise
        finally:
            demo.stop()
    except Failure as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
