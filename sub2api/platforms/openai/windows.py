"""The usage windows of a ChatGPT (Codex) subscription, as every reply's headers tell them.

Source: `x-codex-{primary,secondary}-{used-percent,reset-after-seconds,reset-at,window-minutes}`.
Which of the two is the short one changes: their lengths tell.
"""

from __future__ import annotations

from collections.abc import Mapping

from sub2api.model.health import UsageWindow
from sub2api.platforms.resets import moment, number

_ENDS = frozenset(
    f"x-codex-{which}-{what}".encode()
    for which in ("primary", "secondary")
    for what in ("reset-after-seconds", "reset-at")
)
"""A window is told when one of these is."""
_LONGEST_SHORT = 360.0
"""Minutes: a lone window of at most this length is the short one."""


def windows_of(told: Mapping[bytes, bytes], now: float) -> tuple[UsageWindow, ...]:
    """Return what a reply says of the 5 h and 7 d windows, () if it says nothing."""
    if _ENDS.isdisjoint(told):
        return ()
    primary, secondary = (
        _number(told, "primary", "window-minutes"),
        _number(told, "secondary", "window-minutes"),
    )
    names = _names(primary, secondary)
    found = (
        _window(told, which, name, now)
        for which, name in zip(("primary", "secondary"), names, strict=True)
    )
    return tuple(sorted((each for each in found if each is not None), key=lambda each: each.name))


def _names(primary: float | None, secondary: float | None) -> tuple[str, str]:
    """Return what the primary and the secondary window are: the shorter one is `5h`."""
    if primary is not None and secondary is not None:
        return ("5h", "7d") if primary < secondary else ("7d", "5h")
    if primary is not None:
        return ("5h", "7d") if primary <= _LONGEST_SHORT else ("7d", "5h")
    if secondary is not None:
        return ("7d", "5h") if secondary <= _LONGEST_SHORT else ("5h", "7d")
    return ("7d", "5h")


def _window(told: Mapping[bytes, bytes], which: str, name: str, now: float) -> UsageWindow | None:
    after = _number(told, which, "reset-after-seconds")
    at = now + after if after is not None else _number(told, which, "reset-at")
    resets_at = moment(at, now)
    if resets_at is None:
        return None
    used = _number(told, which, "used-percent")
    return UsageWindow(name, (used or 0.0) / 100, resets_at, now)


def _number(told: Mapping[bytes, bytes], which: str, what: str) -> float | None:
    return number(told.get(f"x-codex-{which}-{what}".encode(), b"").decode("latin-1"))
