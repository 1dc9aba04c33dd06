"""The usage windows of an Anthropic subscription, as every reply's headers tell them.

Source: `anthropic-ratelimit-unified-{5h,7d}-{status,reset,utilization,surpassed-threshold}`;
`reset` is in seconds since 1970, `utilization` a share.
"""

from __future__ import annotations

from collections.abc import Mapping

from sub2api.model.health import UsageWindow
from sub2api.platforms.resets import moment, number

_FAMILY = b"anthropic-ratelimit-unified-"
_FIRST, _SECOND = _FAMILY + b"5h-reset", _FAMILY + b"7d-reset"
_ALL = 1.0 - 1e-9
"""From here on a window is used up: shares are sent as decimals, and rounded."""
_ESTIMATES = {"rejected": 1.0, "allowed_warning": 0.8}


def windows_of(told: Mapping[bytes, bytes], now: float) -> tuple[UsageWindow, ...]:
    """Return what a reply says of the 5 h and 7 d windows, () if it says nothing."""
    if _FIRST not in told and _SECOND not in told:
        return ()
    found = (_window(told, name, now) for name in ("5h", "7d"))
    return tuple(window for window in found if window is not None)


def _window(told: Mapping[bytes, bytes], name: str, now: float) -> UsageWindow | None:
    def of(what: str) -> str:
        return told.get(b"%s%s-%s" % (_FAMILY, name.encode(), what.encode()), b"").decode("latin-1")

    status = of("status").strip().lower()
    resets_at = moment(number(of("reset")), now)
    if resets_at is None:
        return None
    utilization = number(of("utilization"))
    if utilization is None:
        utilization = _ESTIMATES.get(status, 0.0)
    if utilization >= _ALL or of("surpassed-threshold").strip().lower() == "true":
        utilization = max(1.0, utilization)
    return UsageWindow(name, utilization, resets_at, now, status)
