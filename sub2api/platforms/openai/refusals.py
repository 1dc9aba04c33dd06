"""What an OpenAI-compatible host means by a refusal."""

from __future__ import annotations

import re

from sub2api.errors import Scope, UpstreamError
from sub2api.platforms import resets
from sub2api.platforms.openai.windows import windows_of
from sub2api.platforms.refusal import Refusal, read
from sub2api.platforms.refusals import (
    CREDENTIAL,
    DISABLED,
    LIMITED,
    NOT_PERMITTED,
    UNPAID,
    USED_UP,
    Verdict,
    blocked,
    default,
    error_from,
    of_relays,
    out_of_use,
    rest,
)
from sub2api.transport.messages import Headers

_OUT_OF_USE = (
    (
        frozenset({"account_deactivated", "access_terminated", "organization_deactivated"}),
        DISABLED,
        "disabled",
        "Account disabled",
    ),
    (
        frozenset({"billing_not_active", "usage_not_included", "payment_required"}),
        UNPAID,
        "payment",
        "Payment required",
    ),
    (frozenset({"invalid_api_key"}), CREDENTIAL, "credential", "Authentication failed"),
)
_NO_MONEY = frozenset(
    {
        "insufficient_quota", "billing_hard_limit_reached",
        "insufficient_user_quota", "exceeded_current_quota_error",  # compatible hosts
    }
)  # fmt: skip
_NO_SUCH_MODEL = frozenset({"model_not_found", "unsupported_model"})
_REGION = frozenset({"unsupported_country_region_territory"})
_NOT_ABOUT_THE_CREDENTIAL = (
    "missing scopes",
    "must be verified to use the model",
    "not have access to model",
    "should match organization for api key",
    "request too large for",  # larger than the account's limit per minute: no wait helps it
)
_FOR_MODEL = re.compile(r"rate limit reached for (?!requests|tokens|your|organization)\S+")
_PER_DAY = ("requests per day", "tokens per day", "(rpd)", "(tpd)")


def judge(status: int, headers: Headers, body: bytes, now: float) -> UpstreamError:
    """Classify a refusal. Its code tells more than its status."""
    refusal = read(status, headers, body, now)
    found = of_relays(refusal)
    if found is None and status in {401, 402, 403, 429}:
        found = _by_code(refusal)
    if found is not None:
        return found
    return _limited(refusal) if status == 429 else default(refusal)


def _by_code(refusal: Refusal) -> UpstreamError | None:
    words, status = refusal.words, refusal.status
    if words & _NO_SUCH_MODEL or refusal.says(*_NOT_ABOUT_THE_CREDENTIAL):
        return error_from(refusal, NOT_PERMITTED)
    if words & _REGION:
        return blocked(refusal)
    if words & _NO_MONEY:
        return rest(refusal, USED_UP, "quota", None)
    for codes, verdict, cause, title in _OUT_OF_USE:
        if words & codes:
            return out_of_use(refusal, verdict, cause, f"{title} ({status}): ")
    return None


def _limited(refusal: Refusal) -> UpstreamError:
    """Tell a burst (seconds) from a used-up window or day.

    A window is used up when its header says 100 %, or the body says so. Codex headers below 100 %
    come with bursts too: then they are no reason to rest for hours.
    """
    windows = windows_of(dict(refusal.headers), refusal.now)
    full = [window for window in windows if window.utilization >= 1.0]
    if full:
        last = max(full, key=lambda window: window.name == "7d")
        return rest(refusal, USED_UP, f"window_{last.name}", last.resets_at)
    said = _said_by_body(refusal)
    if "usage_limit_reached" in refusal.words or _only_resets(refusal, bool(windows)):
        until = said or max((window.resets_at for window in windows), default=None)
        return rest(refusal, USED_UP, _window_cause(refusal.now, until), until)
    return _burst(refusal, said)


def _only_resets(refusal: Refusal, has_windows: bool) -> bool:
    """Whether the headers tell when the windows end, but not how full they are."""
    return has_windows and not any(
        refusal.header(f"x-codex-{which}-used-percent".encode())
        for which in ("primary", "secondary")
    )


def _window_cause(now: float, until: float | None) -> str:
    return "window_7d" if until is not None and until - now > 6 * 3600 else "window_5h"


def _burst(refusal: Refusal, said: float | None) -> UpstreamError:
    """Return a limit per minute or day: OpenAI's are per model, and name it."""
    scope: Scope = "model" if _FOR_MODEL.search(refusal.said) else "account"
    until = said or _said_by_text(refusal) or _said_by_headers(refusal)
    daily = refusal.says(*_PER_DAY)
    verdict: Verdict = USED_UP if daily else LIMITED
    return rest(refusal, verdict, "quota" if daily else "burst", until, scope=scope)


def _said_by_body(refusal: Refusal) -> float | None:
    """Return the end in `error.resets_at` (seconds since 1970) or `error.resets_in_seconds`."""
    at = resets.moment(resets.number(refusal.error.get("resets_at")), refusal.now)
    if at is not None:
        return at
    wait = resets.believed(resets.number(refusal.error.get("resets_in_seconds")))
    return None if wait is None else refusal.now + wait


def _said_by_text(refusal: Refusal) -> float | None:
    wait = resets.believed(resets.retry_after_of(refusal.headers))
    if wait is None:
        wait = resets.believed(resets.said_in(refusal.message))
    return None if wait is None else refusal.now + wait


def _said_by_headers(refusal: Refusal) -> float | None:
    """Return when what is empty is full again: `x-ratelimit-reset-{requests,tokens}`."""
    empty = [
        resets.believed(resets.duration(refusal.header(f"x-ratelimit-reset-{what}".encode())))
        for what in ("requests", "tokens")
        if refusal.header(f"x-ratelimit-remaining-{what}".encode()) == "0"
    ]
    wait = max((each for each in empty if each is not None), default=None)
    return None if wait is None else refusal.now + wait
