"""When a vendor says that one may come again: waits and moments, as headers and bodies tell them.

Pure functions. What is not readable, or absurd, is None: the growing schedule decides then.
"""

from __future__ import annotations

import email.utils
import math
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sub2api.platforms.forwarding import value_of
from sub2api.transport.messages import Headers

LONGEST = 7 * 86400.0 + 3600.0
"""Seconds a vendor is believed: its longest window, and an hour for clocks that differ."""

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)", re.ASCII)
_PLAIN = re.compile(r"[0-9]{1,15}(?:\.[0-9]{0,15})?")
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TRY_AGAIN = re.compile(
    r"(?:try again|retry) (?:in|after) (?:about )?((?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|"
    r"days?|hours?|minutes?|seconds?|d|h|m|s)\s*)+)",
    re.IGNORECASE | re.ASCII,
)
_PACIFIC = "America/Los_Angeles"


def believed(wait: float | None) -> float | None:
    """Return a wait in seconds, None if it is none, over, or longer than any window is."""
    return wait if wait is not None and 0 < wait <= LONGEST else None


def moment(at: float | None, now: float) -> float | None:
    """Return a moment (seconds since 1970), None if it is over or absurdly far away."""
    return at if at is not None and believed(at - now) is not None else None


def number(given: object) -> float | None:
    """Return a number, also one in text; None for anything else. Vendors send both."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        found = float(given)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def duration(text: str) -> float | None:
    """Return seconds of a duration such as `12.345s`, `1m30s`, `6h0m0s` or `120ms`."""
    parts = list(_PART.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        return None
    found = sum(float(part.group(1)) * _UNIT[part.group(2)] for part in parts)
    return found if math.isfinite(found) else None


def date(text: str) -> float | None:
    """Return the moment of an RFC 3339 date (`2026-11-24T12:00:00Z`); without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def said_in(message: str) -> float | None:
    """Return the wait of "Please try again in 1m2.5s" or "Please retry in 9.1s", in seconds."""
    found = _TRY_AGAIN.search(message[:4096])
    if found is None:
        return None
    words = re.sub(r"\s+", "", found.group(1).lower())
    words = re.sub(r"milliseconds?", "ms", words)
    return duration(re.sub(r"(d)ays?|(h)ours?|(m)inutes?|(s)econds?", _initial, words))


def _initial(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group)


def retry_after_of(headers: Headers) -> float | None:
    """Return the wait in seconds a reply asks for, None if it asks for none or is not readable."""
    milliseconds = value_of(headers, b"retry-after-ms")
    if _PLAIN.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    text = value_of(headers, b"retry-after")
    if _PLAIN.fullmatch(text):
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
        since = email.utils.parsedate_to_datetime(value_of(headers, b"date"))
    except (ValueError, TypeError):
        return None
    if (until.tzinfo is None) != (since.tzinfo is None):
        return None
    return max(0.0, (until - since).total_seconds())


def pacific_midnight(now: float) -> float:
    """Return when the next day begins in California: there Google's daily quotas begin anew.

    A machine without time zone files is told the later of the two offsets, UTC-8.
    """
    try:
        zone = ZoneInfo(_PACIFIC)
    except (ZoneInfoNotFoundError, OSError):
        return (math.floor((now - 8 * 3600) / 86400) + 1) * 86400 + 8 * 3600.0
    today = datetime.fromtimestamp(now, zone)
    return datetime.combine(today.date() + timedelta(days=1), datetime.min.time(), zone).timestamp()
