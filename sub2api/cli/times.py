"""Times as people type them: `2h`, `1d`, `2026-11-01`, `2026-11-01T12:00`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sub2api.errors import MistakeError

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN = re.compile(r"^(\d{1,6})([mhdw])$")


def since_of(text: str, now: float) -> float:
    """Return a past moment (seconds since 1970): a span before `now`, or a date in UTC."""
    span = _SPAN.match(text)
    if span:
        return now - int(span.group(1)) * _UNITS[span.group(2)]
    return _date(text)


def until_of(text: str, now: float) -> float:
    """Return a future moment: a span after `now`, or a date in UTC."""
    span = _SPAN.match(text)
    if span:
        return now + int(span.group(1)) * _UNITS[span.group(2)]
    return _date(text)


def _date(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise MistakeError(
            f"{text!r} is no time: write a span such as 30m, 2h, 1d, 4w, or a date (2026-11-01)"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
