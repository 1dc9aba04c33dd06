"""Draw results: a bar chart in SVG, written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from tests.bench.rows import OURS
from tests.bench.workloads import WORKLOADS

SHOWN = ("whole-c50", "stream-c50", "large-c10")
WIDTH, LABEL, NUMBER = 720, 110, 90
BAR, STEP, HEAD, GAP = 16, 22, 28, 14
OUR_COLOUR, OTHER_COLOUR = "#0f766e", "#94a3b8"
# Readable on white as on black: the page may be shown in either.
TEXT_COLOUR = "#64748b"


def chart(results: Mapping[str, Any]) -> str:
    """Return the picture: calls per second, a panel per workload that the rows saturate."""
    parts: list[str] = []
    top = GAP
    for workload in WORKLOADS:
        rows = results["workloads"].get(workload.name, {})
        rates = {name: row["per_second"] for name, row in rows.items() if "failed" not in row}
        if workload.name in SHOWN and rates:
            parts += _panel(workload.about, rates, top)
            top += HEAD + STEP * len(rates) + GAP
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}" font-family="sans-serif" font-size="12" '
        f'fill="{TEXT_COLOUR}" role="img">\n<title>Calls per second</title>\n{body}\n</svg>\n'
    )


def _panel(title: str, rates: Mapping[str, float], top: int) -> list[str]:
    most = max(rates.values()) or 1.0
    lines = [
        f'<text x="0" y="{top + 14}" font-weight="bold">{escape(title)}: calls per second</text>'
    ]
    for at, (name, rate) in enumerate(rates.items()):
        y = top + HEAD + at * STEP
        width = max(1.0, (WIDTH - LABEL - NUMBER) * rate / most)
        colour = OUR_COLOUR if name in OURS else OTHER_COLOUR
        lines += [
            f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LABEL + width + 6:.1f}" y="{y + 12}">{rate:,.0f}</text>',
        ]
    return lines
