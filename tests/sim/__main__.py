"""`make sim`: a day of a thousand accounts in virtual time; prints and checks what came out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.sim.chart import chart
from tests.sim.measures import table
from tests.sim.simulation import Scale, simulate


def main() -> int:
    """Run it; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    standard = Scale()
    parser.add_argument("--accounts", type=int, default=standard.accounts)
    parser.add_argument("--users", type=int, default=standard.users)
    parser.add_argument("--hours", type=float, default=standard.hours)
    parser.add_argument("--sessions", type=float, default=standard.sessions, help="of each user")
    parser.add_argument("--concurrency", type=int, default=standard.concurrency)
    parser.add_argument("--bound-wait", type=float, default=standard.bound_wait, help="seconds")
    parser.add_argument("--seed", type=int, default=standard.seed)
    parser.add_argument("--chart", type=Path, help="where to draw the day (SVG)")
    asked = vars(parser.parse_args())
    drawn: Path | None = asked.pop("chart")
    result = simulate(Scale(**asked))
    print(table(result.found))
    print(f"\n{result.scale}: {result.seconds:.0f} s of CPU time")
    if drawn is not None:
        drawn.write_text(chart(result.measures.samples), encoding="utf-8")
    return 0 if all(each.met for each in result.found) else 1


if __name__ == "__main__":
    sys.exit(main())
