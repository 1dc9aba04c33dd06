"""What an Anthropic-compatible host means by a refusal."""

from __future__ import annotations

import re

from sub2api.errors import Scope, UpstreamError
from sub2api.model.health import UsageWindow
from sub2api.platforms import resets
from sub2api.platforms.anthropic.windows import windows_of
from sub2api.platforms.refusal import Refusal, read
from sub2api.platforms.refusals import (
    CREDENTIAL,
    DISABLED,
    LIMITED,
    NOT_PERMITTED,
    UNPAID,
    USED_UP,
    blocked,
    default,
    error_from,
    of_relays,
    out_of_use,
    rest,
)
from sub2api.transport.messages import Headers

_UNIFIED = b"anthropic-ratelimit-unified-"
_NOT_ABOUT_THE_CREDENTIAL = (
    "oauth authentication is currently not supported",  # this endpoint wants an API key
    "extra usage is required",  # this request is too long for the plan
    "not have access to claude",
    "not have access to the model",
    "not have permission to use the model",
    "not available for your plan",
)
_REGAIN = re.compile(r"regain access on (\d{4}-\d\d-\d\d)(?: at (\d\d:\d\d))?")
_BURST_FAMILIES = ("requests", "tokens", "input-tokens", "output-tokens")
_WINDOW_OF_CLAIM = {"five_hour": "5h", "seven_day": "7d"}


def judge(status: int, headers: Headers, body: bytes, now: float) -> UpstreamError:
    """Classify a refusal."""
    refusal = read(status, headers, body, now)
    if status in {401, 403, 429} and refusal.says(*_NOT_ABOUT_THE_CREDENTIAL):
        return error_from(refusal, NOT_PERMITTED)
    if status in {400, 403} and refusal.says("organization has been disabled"):
        return out_of_use(refusal, DISABLED, "disabled", f"Organization disabled ({status}): ")
    by_status = {400: _bad_request, 403: _forbidden, 429: _limited}.get(status, default)
    return of_relays(refusal) or by_status(refusal)


def _bad_request(refusal: Refusal) -> UpstreamError:
    """Two 400s are about the account although the status says otherwise."""
    if refusal.says("credit balance is too low"):
        return out_of_use(refusal, UNPAID, "payment", "Payment required (400): ")
    if refusal.says("reached your specified api usage limits"):
        return rest(refusal, USED_UP, "quota", _regained(refusal))
    return default(refusal)


def _forbidden(refusal: Refusal) -> UpstreamError:
    if "billing_error" in refusal.words:
        return rest(refusal, USED_UP, "quota", None)  # another gateway's limits, as ours are told
    if refusal.says("request not allowed", "unsupported region", "not available in your"):
        return blocked(refusal)
    if refusal.says("token has been revoked", "token has expired"):
        return out_of_use(refusal, CREDENTIAL, "credential", "Authentication failed (403): ")
    return default(refusal)


def _limited(refusal: Refusal) -> UpstreamError:
    """Tell a burst from a used-up window: the first is over in seconds, the second in days."""
    windows = windows_of(dict(refusal.headers), refusal.now)
    claim = refusal.header(_UNIFIED + b"representative-claim").lower()
    window = _used_up(windows, refusal, claim)
    if window is not None:
        scope: Scope = "model" if claim.startswith("seven_day_") else "account"
        return rest(refusal, USED_UP, f"window_{window.name}", window.resets_at, scope=scope)
    return rest(refusal, LIMITED, "burst", _burst_end(refusal))


def _used_up(windows: tuple[UsageWindow, ...], refusal: Refusal, claim: str) -> UsageWindow | None:
    """Return the window that is used up, None for a burst.

    Both used up: the longer. Every reply of a subscription has these headers, a burst's too: where
    they say that there is room, they are no reason to rest for hours. None used up, but the vendor
    has rejected, or says no more than when the windows end: the one it names, else the one that
    ends sooner, else the common reset.
    """
    full = [window for window in windows if window.utilization >= 1.0]
    if full:
        return max(full, key=lambda window: window.name == "7d")
    status = refusal.header(_UNIFIED + b"status").lower()
    rejected = [window for window in windows if window.status == "rejected"]
    if status != "rejected" and not rejected and _says_there_is_room(refusal, windows, status):
        return None
    named = [window for window in windows if window.name == _WINDOW_OF_CLAIM.get(claim)]
    possible = rejected or named or list(windows)
    if possible and not claim.startswith("seven_day_"):
        return min(possible, key=lambda window: window.resets_at)
    return _common(refusal, claim)


def _says_there_is_room(refusal: Refusal, windows: tuple[UsageWindow, ...], status: str) -> bool:
    """Whether the vendor has said that no window is full: this limit is another, shorter one."""
    told = any(
        refusal.header(_UNIFIED + f"{window.name}-utilization".encode()) or window.status
        for window in windows
    )
    return told or status.startswith("allowed")


def _common(refusal: Refusal, claim: str) -> UsageWindow | None:
    """Return the window that `anthropic-ratelimit-unified-reset` is about."""
    until = resets.moment(resets.number(refusal.header(_UNIFIED + b"reset")), refusal.now)
    if until is None:
        return None
    long = claim.startswith("seven_day") or until - refusal.now > 5 * 3600 + 600
    return UsageWindow("7d" if long else "5h", 1.0, until, refusal.now)


def _burst_end(refusal: Refusal) -> float | None:
    """Return when a limit per minute has room again: `retry-after`, else what is empty now."""
    wait = resets.believed(resets.retry_after_of(refusal.headers))
    if wait is not None:
        return refusal.now + wait
    empty = [
        resets.moment(_reset_of(refusal, family), refusal.now)
        for family in _BURST_FAMILIES
        if refusal.header(f"anthropic-ratelimit-{family}-remaining".encode()) == "0"
    ]
    return max((end for end in empty if end is not None), default=None)


def _reset_of(refusal: Refusal, family: str) -> float | None:
    return resets.date(refusal.header(f"anthropic-ratelimit-{family}-reset".encode()))


def _regained(refusal: Refusal) -> float | None:
    """Return the moment of "You will regain access on 2026-12-01 at 00:00 UTC"."""
    found = _REGAIN.search(refusal.said)
    if found is None:
        return None
    at = resets.date(f"{found.group(1)}T{found.group(2) or '00:00'}:00Z")
    # A month's limit: further away than any window, and named to the day.
    return at if at is not None and 0 < at - refusal.now < 32 * 86400 else None
