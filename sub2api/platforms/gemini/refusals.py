"""What the Gemini API means by a refusal. Source: google.rpc error details, and what it answers."""

from __future__ import annotations

import math
from typing import Any

from sub2api.errors import UpstreamError
from sub2api.model.health import Scope
from sub2api.platforms import resets
from sub2api.platforms.refusal import Refusal, details, read
from sub2api.platforms.refusals import (
    BUSY,
    CREDENTIAL,
    DISABLED,
    LIMITED,
    NOT_PERMITTED,
    USED_UP,
    blocked,
    default,
    error_from,
    out_of_use,
    rest,
)
from sub2api.transport.messages import Headers

_BAD_KEY = (
    "api_key_invalid", "api key not valid", "api key expired", "reported as leaked",
    "api key not found",
)  # fmt: skip
_NO_MONEY = ("credits are depleted", "spending cap", "exceeded its spend")
_SHORT = 7.0
"""Seconds: a shorter wait than this is waited out with the same account."""


def judge(status: int, headers: Headers, body: bytes, now: float) -> UpstreamError:
    """Classify a refusal. Google answers a bad key with 400, and puts delays into the body."""
    refusal = read(status, headers, body, now)
    if status in {400, 401, 403}:
        return _refused(refusal)
    if status == 429:
        return _limited(refusal)
    if status == 503 and _reason(refusal) == "MODEL_CAPACITY_EXHAUSTED":
        return error_from(refusal, BUSY, again=1.0)
    if status in {503, 529}:
        return _overloaded(refusal)
    return default(refusal)


def _refused(refusal: Refusal) -> UpstreamError:
    status = refusal.status
    if refusal.says(*_BAD_KEY) or _reason(refusal) == "API_KEY_INVALID":
        return out_of_use(refusal, CREDENTIAL, "credential", f"Authentication failed ({status}): ")
    if refusal.says("location is not supported"):
        return blocked(refusal)
    if refusal.says("consumer", "project") and refusal.says("suspended"):
        return out_of_use(refusal, DISABLED, "disabled", f"Account disabled ({status}): ")
    if status == 403 and refusal.says("access the file", "access the cached", "tuned model"):
        return error_from(refusal, NOT_PERMITTED)
    return default(refusal)


def _overloaded(refusal: Refusal) -> UpstreamError:
    wait = resets.believed(_delay(refusal))
    error = default(refusal)
    if wait is not None:
        error.shown.retry_after = wait
    return error


def _limited(refusal: Refusal) -> UpstreamError:
    """Tell a day's quota from a minute's; most are of one model, and rest that alone.

    A day's refusal also carries a delay of seconds, which is not true: the day counts.
    """
    scope: Scope = "model" if _names_model(refusal) else "account"
    if _is_daily(refusal):
        end = resets.pacific_midnight(refusal.now)
        return rest(refusal, USED_UP, "quota", end, scope=scope)
    if refusal.says(*_NO_MONEY):
        return rest(refusal, USED_UP, "quota", None)
    wait = resets.believed(_delay(refusal))
    if wait is None:
        return rest(refusal, LIMITED, "burst", None, scope=scope)
    again = max(1.0, wait) if wait < _SHORT else None
    return rest(refusal, LIMITED, "burst", refusal.now + wait, scope=scope, again=again)


def _is_daily(refusal: Refusal) -> bool:
    ids = (str(each.get("quotaId", "")) for each in _violations(refusal))
    return refusal.says("per day") or any("PerDay" in quota_id for quota_id in ids)


def _delay(refusal: Refusal) -> float | None:
    """Return the wait in whole seconds, rounded up: coming a moment early is refused again."""
    for name, kind in (("quotaResetDelay", "ErrorInfo"), ("retryDelay", "RetryInfo")):
        for each in details(refusal.error, kind):
            source = each.get("metadata") if kind == "ErrorInfo" else each
            found = source.get(name) if isinstance(source, dict) else None
            wait = resets.duration(found) if isinstance(found, str) else None
            if wait is not None:
                return float(math.ceil(wait))
    wait = resets.said_in(refusal.message)
    if wait is None:
        wait = resets.retry_after_of(refusal.headers)
    return None if wait is None else float(math.ceil(wait))


def _names_model(refusal: Refusal) -> bool:
    for each in _violations(refusal):
        dimensions = each.get("quotaDimensions")
        if "PerModel" in str(each.get("quotaId")) or (
            isinstance(dimensions, dict) and dimensions.get("model")
        ):
            return True
    return any(_metadata(each).get("model") for each in details(refusal.error, "ErrorInfo"))


def _violations(refusal: Refusal) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for each in details(refusal.error, "QuotaFailure"):
        rows = each.get("violations")
        if isinstance(rows, list):
            found += [row for row in rows if isinstance(row, dict)]
    return found


def _reason(refusal: Refusal) -> str:
    reasons = (str(each.get("reason", "")) for each in details(refusal.error, "ErrorInfo"))
    return next(reasons, "")


def _metadata(detail: dict[str, Any]) -> dict[str, Any]:
    found = detail.get("metadata")
    return found if isinstance(found, dict) else {}
