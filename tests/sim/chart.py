"""Draw a simulated day: what every minute looked like, as lines in SVG, written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.sim.measures import Sample

WIDTH, HEIGHT, LEFT, TOP, GAP = 720, 110, 60, 24, 34
# Readable on white as on black: the page may be shown in either.
TEXT, LINE, AXIS = "#64748b", "#0f766e", "#94a3b8"

PER_POINT = 3
"""So many samples become one point, which shows the highest of them."""
PANELS: tuple[tuple[str, Callable[[Sample], int]], ...] = (
    ("Calls under way", lambda sample: sample.active),
    ("Calls that wait", lambda sample: sample.waiting),
    ("Accounts at rest", lambda sample: sample.resting),
    ("Accounts without a call", lambda sample: sample.idle),
)


def chart(samples: Sequence[Sample]) -> str:
    """Return the picture: a panel per figure, the hours from left to right."""
    parts: list[str] = []
    for at, (title, value) in enumerate(PANELS):
        points = [
            (samples[first].second, max(value(each) for each in samples[first : first + PER_POINT]))
            for first in range(0, len(samples), PER_POINT)
        ]
        parts += _panel(title, points, at * (TOP + HEIGHT + GAP))
    height = len(PANELS) * (TOP + HEIGHT + GAP)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" '
        f'fill="{TEXT}" role="img">\n<title>A simulated day</title>\n{body}\n</svg>\n'
    )


def _panel(title: str, points: Sequence[tuple[float, int]], top: int) -> list[str]:
    last = points[-1][0] or 1.0
    most = max(count for _, count in points) or 1
    base = top + TOP + HEIGHT
    width = WIDTH - LEFT - 10

    def place(second: float, count: int) -> str:
        return f"{LEFT + width * second / last:.1f},{base - HEIGHT * count / most:.1f}"

    line = " ".join(place(second, count) for second, count in points)
    lines = [
        f'<text x="0" y="{top + 14}" font-weight="bold">{title}</text>',
        f'<text x="{LEFT - 8}" y="{top + TOP + 10}" text-anchor="end">{most:,}</text>',
        f'<text x="{LEFT - 8}" y="{base}" text-anchor="end">0</text>',
        f'<path d="M{LEFT},{base}H{WIDTH - 10}" stroke="{AXIS}" fill="none"/>',
        f'<polyline points="{line}" stroke="{LINE}" fill="none"/>',
    ]
    step = max(1, round(last / 3600 / 8))
    for hour in range(0, int(last / 3600) + 1, step):
        x = LEFT + width * hour * 3600 / last
        lines.append(f'<text x="{x:.1f}" y="{base + 16}" text-anchor="middle">{hour} h</text>')
    return lines
