"""The shared part of reading a vendor's refusal: whose fault, and what the client is told.

The table is the default of every vendor; a vendor's own module states where it differs.
"""

from __future__ import annotations

import email.utils
from dataclasses import dataclass

from sub2api.errors import (
    OVERLOADED,
    RATE_LIMITED,
    UPSTREAM,
    ClientError,
    ErrorKind,
    Fault,
    Next,
    UpstreamError,
)
from sub2api.platforms.forwarding import value_of
from sub2api.transport.messages import Headers


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one status is taken. `status` and `message` are what a client sees in the end."""

    fault: Fault
    then: Next
    cause: str
    status: int
    kind: ErrorKind
    message: str


CREDENTIAL = Verdict(
    Fault.ACCOUNT, Next.OTHER_ACCOUNT, "credential_refused", 502, UPSTREAM,
    "The upstream refused this gateway's credential. The operator must check the account.",
)  # fmt: skip
LIMITED = Verdict(
    Fault.ACCOUNT, Next.OTHER_ACCOUNT, "rate_limited", 429, RATE_LIMITED,
    "The upstream's rate limit is reached. Try again later.",
)  # fmt: skip
BUSY = Verdict(
    Fault.PROVIDER, Next.OTHER_ACCOUNT, "overloaded", 529, OVERLOADED,
    "The upstream is overloaded. Try again later.",
)  # fmt: skip
BROKEN = Verdict(
    Fault.PROVIDER, Next.OTHER_ACCOUNT, "upstream_error", 502, UPSTREAM,
    "The upstream failed. Try again later.",
)  # fmt: skip
CALLER = Verdict(
    Fault.CALLER, Next.GIVE_UP, "caller_fault", 400, UPSTREAM,
    "The upstream refused the request.",
)  # fmt: skip

DEFAULTS: dict[int, Verdict] = {
    401: CREDENTIAL,
    402: CREDENTIAL,
    403: CREDENTIAL,
    407: BROKEN,
    408: BROKEN,
    429: LIMITED,
    503: BUSY,
    529: BUSY,
}


def verdict_of(status: int) -> Verdict:
    """Return the default reading of a refusal status (anything >= 300 that is not success)."""
    found = DEFAULTS.get(status)
    if found is not None:
        return found
    return CALLER if 400 <= status < 500 else BROKEN


def error_from(
    verdict: Verdict,
    status: int,
    headers: Headers,
    body: bytes,
    *,
    retry_after: float | None = None,
) -> UpstreamError:
    """Build the error of a refused attempt.

    A caller's fault keeps the vendor's reply for the client, unchanged. `retry_after` (seconds)
    falls back to the `retry-after` headers.
    """
    wait = retry_after if retry_after is not None else retry_after_of(headers)
    shown = ClientError(verdict.message, status=verdict.status, kind=verdict.kind, retry_after=wait)
    passes = verdict.fault is Fault.CALLER
    return UpstreamError(
        f"upstream answered {status}",
        then=verdict.then,
        cause=verdict.cause,
        shown=shown,
        fault=verdict.fault,
        status=status,
        answer=(status, list(headers), body) if passes else None,
    )


def retry_after_of(headers: Headers) -> float | None:
    """Return the wait in seconds a reply asks for, None if it asks for none or is not readable."""
    milliseconds = value_of(headers, b"retry-after-ms")
    if milliseconds.replace(".", "", 1).isdigit():
        return float(milliseconds) / 1000
    text = value_of(headers, b"retry-after")
    if text.replace(".", "", 1).isdigit():
        return float(text)
    date = value_of(headers, b"date")
    try:
        until = email.utils.parsedate_to_datetime(text)
        since = email.utils.parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None
    if (until.tzinfo is None) != (since.tzinfo is None):
        return None
    return max(0.0, (until - since).total_seconds())
