"""Paste the requests that `make run` printed, then check what they cost. Standard library only.

    python3 tools/try_demo.py OUTPUT PRICES COMMAND...

OUTPUT is a file that collects what `make run` prints, PRICES the bundled price file, COMMAND the
`sub2api` to ask for the usage. Every request must answer with a stream of several events that come
one after another, not at once; the usage must list each of them, priced to the nanodollar. Costs
are worked out here anew: this file shares no code with the product.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

START_SECONDS = 900.0
SHIP_SECONDS = 10.0
WIRES = ("Messages", "Responses", "Chat", "Gemini")
ENDS = (b"message_stop", b"response.completed", b"[DONE]", b'"finishReason"')
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


def printed_requests(output: Path) -> list[str]:
    """Return the printed curl commands, once they are all there and the server listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        text = output.read_text("utf-8", "replace") if output.exists() else ""
        commands = [line for line in text.splitlines() if line.startswith("curl ")]
        if len(commands) == len(WIRES) and "INFO listening" in text:
            return commands
        if "*** " in text:
            break  # make says that a recipe failed
        time.sleep(0.2)
    raise Failure("`make run` did not print its four requests and listen")


def paste(wire: str, command: str, end: bytes) -> None:
    """Run a command as it was printed; raise Failure unless it streams to a proper end."""
    began = time.monotonic()
    moments: list[float] = []
    body = b""
    with subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.PIPE) as process:
        pipe = process.stdout
        while pipe and (piece := os.read(pipe.fileno(), 65536)):
            moments.append(time.monotonic() - began)
            body += piece
    events = body.count(b"data: ")
    shown = body[-300:].decode("utf-8", "replace")
    if process.returncode or end not in body or events < LEAST_EVENTS:
        raise Failure(f"{wire}: curl exit {process.returncode}, {events} events, ends: {shown}")
    spread = moments[-1] - moments[0]
    if spread < LEAST_SPREAD_SECONDS:
        raise Failure(f"{wire}: {events} events came at once, within {spread:.3f} s: no stream")
    print(f"{wire}: {events} events in {len(moments)} pieces over {spread:.2f} s")


def asked(command: list[str], *arguments: str) -> list[dict[str, Any]]:
    """Return the items that `sub2api usage` lists."""
    run = subprocess.run(
        [*command, "usage", *arguments, "--json"], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise Failure(f"sub2api usage: {run.stderr.strip()}")
    items: list[dict[str, Any]] = json.loads(run.stdout, parse_float=Decimal)["items"]
    return items


def cost_of(row: dict[str, Any], prices: dict[str, Any]) -> int:
    """Return the nanodollars of a row's tokens at the model's standard rate, rounded half-even."""
    rates = prices["models"][row["model"]]["rates"]
    (rate,) = (each for each in rates if not {"tier", "above"} & each.keys())
    return round(sum(Fraction(row[key] * rate[name], 10**6) for key, name in CLASSES.items()))


def check_usage(command: list[str], prices: dict[str, Any]) -> None:
    """Raise Failure unless there is a row per request, and rows and sums are exact."""
    deadline = time.monotonic() + SHIP_SECONDS
    rows = asked(command, "--recent", "100")
    while len(rows) < len(WIRES) and time.monotonic() < deadline:
        time.sleep(0.2)
        rows = asked(command, "--recent", "100")
    if len(rows) != len(WIRES):
        raise Failure(f"{len(WIRES)} requests left {len(rows)} rows: {rows}")
    owed: dict[str, int] = {}
    for row in rows:
        cost = cost_of(row, prices)
        owed[row["model"]] = owed.get(row["model"], 0) + cost
        if row["status"] != 200 or not row["output_tokens"] or row["cost"] * 10**9 != cost:
            raise Failure(f"tokens x price is {cost} nanodollars, but the row says {row}")
        print(f"{row['model']}: {cost} nanodollars, exactly")
    sums = {each["model"]: each["cost"] * 10**9 for each in asked(command, "--by", "model")}
    if sums != owed:
        raise Failure(f"usage by model says {sums}, its rows add up to {owed}")


def main() -> int:
    """Try it; say what is wrong."""
    output, prices, *command = sys.argv[1:]
    try:
        for wire, request, end in zip(WIRES, printed_requests(Path(output)), ENDS, strict=True):
            paste(wire, request, end)
        check_usage(command, json.loads(Path(prices).read_bytes()))
    except Failure as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
