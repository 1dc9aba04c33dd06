"""Show results: tables in Markdown, which read well in a terminal too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.bench.bars import VALID_RATIO, Verdict
from tests.bench.rows import ABOUT, DIRECT
from tests.bench.workloads import WORKLOADS, Workload

Row = Mapping[str, Any]


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _added(name: str) -> Callable[[Row], str]:
    return lambda row: _number(row.get("added", {}).get(name))


COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("req/s", lambda row: _number(row["per_second"], 0 if row["per_second"] >= 100 else 1)),
    ("added p50 ms", _added("p50_ms")),
    ("added p99 ms", _added("p99_ms")),
    ("added TTFB p50 ms", _added("ttfb_p50_ms")),
    ("CPU ms/call", lambda row: _number(row.get("cpu_ms_per_call"), 3)),
    ("RSS MB", lambda row: _number(row.get("rss_mb"), 0)),
    ("errors", lambda row: str(row["errors"] + row["unfinished"])),
)
STREAM_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("events/s", lambda row: _number(row["events_per_second"], 0)),
    ("lost", lambda row: str(row["lost"])),
    ("reordered", lambda row: str(row["reordered"])),
    ("added inter-chunk p50 ms", _added("late_p50_ms")),
    ("added inter-chunk p99 ms", _added("late_p99_ms")),
)
# Divided by fewer, what else a process allocates is larger than what a stream takes.
MANY = 1000
MANY_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("RSS KB/stream", lambda row: _number(row.get("rss_added_kb_per_caller"), 0)),
)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """Return a Markdown table; its first columns hold words, the others numbers."""
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if at >= words else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(aligned)} |"

    rule = ["-" * (width - 1) + (":" if at >= words else "-") for at, width in enumerate(widths)]
    return "\n".join([line(heads), line(rule), *(line(row) for row in rows)])


def workload_table(workload: Workload, rows: Mapping[str, Row]) -> str:
    """Return one workload's table, a line per row."""
    columns = COLUMNS + (STREAM_COLUMNS if workload.stream else ())
    if workload.concurrency >= MANY:
        columns += MANY_COLUMNS
    lines = []
    for name, row in rows.items():
        if "failed" in row:
            lines.append([name, "failed", *["-"] * (len(columns) - 1)])
        else:
            lines.append([name, *(show(row) for _, show in columns)])
    return table(["row", *(head for head, _ in columns)], lines)


def bars_table(verdicts: Sequence[Verdict]) -> str:
    """Return the bars, each with its value and verdict."""
    lines = []
    for each in verdicts:
        sign = "<=" if each.bar.at_most else ">="
        aim = "-" if each.bar.aim is None else f"{sign} {each.bar.aim:g}"
        word = "PASS" if each.passed else "FAIL"
        word += " (aim)" if each.reaches_aim else ""
        note = f" ({each.note})" if each.note else ""
        value = "-" if each.value is None else f"{each.value:.3g}"
        lines.append(
            [each.bar.workload, each.bar.text, value, f"{sign} {each.bar.bar:g}", aim, word + note]
        )
    return table(["workload", "what", "value", "bar", "aim", "verdict"], lines, words=2)


def own_tables(results: Mapping[str, Any]) -> list[str]:
    """Return the tables of what only our gateway is measured for."""
    shown = []
    memory = {name: row for name, row in results.get("rss", {}).items() if "failed" not in row}
    if memory:
        lines = [
            [name, f"{row['calls']:,}", _number(row["points"][0][1], 1), _number(row["rss_mb"], 1),
             _number(row["slope_kb_per_1000_calls"], 1)]
            for name, row in memory.items()
        ]  # fmt: skip
        heads = ["memory", "calls", "RSS MB before", "RSS MB after", "slope KB/1,000 calls"]
        shown.append(table(heads, lines))
    starts = {name: row for name, row in results.get("start", {}).items() if "failed" not in row}
    if starts:
        lines = [
            [name, _number(row["accept_seconds"]), _number(row["answer_seconds"])]
            for name, row in starts.items()
        ]
        heads = ["start of `serve`", "s to first connection", "s to first call served"]
        shown.append(table(heads, lines))
    return shown


def validity(results: Mapping[str, Any]) -> str:
    """Say whether the load generator was fast enough for the numbers to mean anything."""
    bad = results.get("invalid", {})
    if bad:
        reasons = "; ".join(f"{workload}: {reason}" for workload, reason in bad.items())
        return f"INVALID (direct must be >= {VALID_RATIO} x nginx, and in time): {reasons}."
    return f"Valid: direct is >= {VALID_RATIO} x nginx wherever a faster row serves more calls."


def notes(results: Mapping[str, Any]) -> list[str]:
    """Say what went wrong: rows that are missing, errors, a machine that was not ours alone."""
    said = [f"{name} is missing: {why}" for name, why in results.get("missing", {}).items()]
    stolen, foreign = [0.0], [0.0]
    for workload, rows in results["workloads"].items():
        for name, row in rows.items():
            if text := row.get("failed") or row.get("error"):
                said.append(f"{workload}, {name}: {text}")
            stolen.append(row.get("stolen_cores", 0.0))
            foreign.append(row.get("foreign_cores", 0.0))
    said.append(
        f"In a median round, up to {max(foreign):.2f} of a core went to other programs here and "
        f"up to {max(stolen):.2f} to other guests of the host."
    )
    return said


def page(results: Mapping[str, Any], verdicts: Sequence[Verdict], chart: str) -> str:
    """Return the whole page."""
    machine, effort = results["machine"], results["effort"]
    names = [each for each in ABOUT if any(each in row for row in results["workloads"].values())]
    parts = [
        "# Benchmarks",
        f"`{results['command']}` on {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['system']}, Python {machine['python']}: medians of {effort['rounds']} rounds "
        f"of {effort['seconds']:g} s each, all rows in turns within each round. What is measured "
        "has one core to itself; the load generator and the fake upstream (Go, tests/bench/go) "
        f'{"share the other" if machine["shared"] else "have one each"}. "Added" is against '
        f"calling the fake upstream directly, in the same run. {validity(results)}",
        f"![Calls per second]({chart})",
        table(["row", "what it is"], [[name, ABOUT[name]] for name in names], words=2),
    ]
    for workload in WORKLOADS:
        if rows := results["workloads"].get(workload.name):
            parts += [
                f"## {workload.name}: {workload.about}",
                workload_table(workload, _ordered(rows)),
            ]
    if own := own_tables(results):
        parts += ["## Memory and start", *own]
    parts += ["## Bars", bars_table(verdicts)]
    parts += ["## Notes", "\n".join(f"- {each}" for each in notes(results))]
    parts += ["What was tried, and where a call's time goes: [performance.md](performance.md)."]
    return "\n\n".join(parts) + "\n"


def _ordered(rows: Mapping[str, Row]) -> dict[str, Row]:
    return {name: rows[name] for name in (DIRECT, *ABOUT) if name in rows}
