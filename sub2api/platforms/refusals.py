"""The shared part of reading a vendor's refusal: whose fault, and what the client is told.

The table is the default of every vendor; a vendor's own module states where it differs. Only
verdicts on an account harm its health: a caller's bad request must never take an account away.
"""

from __future__ import annotations

from dataclasses import dataclass

from sub2api.errors import (
    FORBIDDEN,
    OVERLOADED,
    RATE_LIMITED,
    UPSTREAM,
    ClientError,
    ErrorKind,
    Fault,
    Next,
    UpstreamError,
)
from sub2api.model.health import Harm, HarmKind, Scope
from sub2api.platforms.refusal import Refusal
from sub2api.platforms.resets import believed, retry_after_of

MOST_TOLD = 64 << 10
"""Bytes of a body that the operator's rules look at."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a refusal is taken. `status` and `message` are what a client sees in the end."""

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
DISABLED = Verdict(
    Fault.ACCOUNT, Next.OTHER_ACCOUNT, "account_disabled", 502, UPSTREAM,
    "The upstream has disabled this gateway's account. The operator must check it.",
)  # fmt: skip
UNPAID = Verdict(
    Fault.ACCOUNT, Next.OTHER_ACCOUNT, "account_unpaid", 502, UPSTREAM,
    "The upstream wants to be paid. The operator must check the account.",
)  # fmt: skip
LIMITED = Verdict(
    Fault.ACCOUNT, Next.OTHER_ACCOUNT, "rate_limited", 429, RATE_LIMITED,
    "The upstream's rate limit is reached. Try again later.",
)  # fmt: skip
USED_UP = Verdict(
    Fault.ACCOUNT, Next.OTHER_ACCOUNT, "account_quota", 429, RATE_LIMITED,
    "The upstream account's quota is used up. Try again later.",
)  # fmt: skip
BUSY = Verdict(
    Fault.PROVIDER, Next.OTHER_ACCOUNT, "overloaded", 529, OVERLOADED,
    "The upstream is overloaded. Try again later.",
)  # fmt: skip
BROKEN = Verdict(
    Fault.PROVIDER, Next.OTHER_ACCOUNT, "upstream_error", 502, UPSTREAM,
    "The upstream failed. Try again later.",
)  # fmt: skip
BLOCKED = Verdict(
    Fault.PROVIDER, Next.OTHER_ACCOUNT, "blocked", 502, UPSTREAM,
    "The upstream cannot be reached from here. Try again later.",
)  # fmt: skip
"""The way to the vendor is the trouble: its region, or a page that something before it shows."""
CALLER = Verdict(
    Fault.CALLER, Next.GIVE_UP, "caller_fault", 400, UPSTREAM,
    "The upstream refused the request.",
)  # fmt: skip
NOT_PERMITTED = Verdict(
    Fault.CALLER, Next.OTHER_ACCOUNT, "not_permitted", 403, FORBIDDEN,
    "The upstream does not permit this request. Use another model, or ask less.",
)  # fmt: skip
"""About the request, not the credential: another account may be permitted more."""

DEFAULTS: dict[int, Verdict] = {
    401: CREDENTIAL,
    402: UNPAID,
    403: CREDENTIAL,
    407: BROKEN,
    408: BROKEN,
    429: LIMITED,
    503: BUSY,
    529: BUSY,
}
_NO_BALANCE = ("insufficient balance", "no resource package", "please recharge")
_HARM: dict[int, tuple[HarmKind, str, str]] = {
    401: ("error", "credential", "Authentication failed (401): "),
    402: ("error", "payment", "Payment required (402): "),
    403: ("error", "forbidden", "Access forbidden (403): "),
    429: ("rest", "burst", ""),
    529: ("rest", "overloaded", ""),
}


def verdict_of(status: int) -> Verdict:
    """Return the default reading of a refusal status (anything >= 300 that is not success)."""
    found = DEFAULTS.get(status)
    if found is not None:
        return found
    return CALLER if 400 <= status < 500 else BROKEN


def default(refusal: Refusal) -> UpstreamError:
    """Return what a status means when the vendor has said nothing that tells more."""
    if refusal.status in {401, 403} and refusal.is_page:
        return blocked(refusal)
    if refusal.status in {404, 405} and refusal.is_page:
        return error_from(refusal, BROKEN)  # a web server that is no API: the base URL is wrong
    kind, cause, title = _HARM.get(refusal.status, ("rest", "", ""))
    verdict = verdict_of(refusal.status)
    if not cause:
        return error_from(refusal, verdict)
    if kind == "error":
        return out_of_use(refusal, verdict, cause, title)
    wait = believed(retry_after_of(refusal.headers))
    return rest(refusal, verdict, cause, None if wait is None else refusal.now + wait)


def of_relays(refusal: Refusal) -> UpstreamError | None:
    """Return what hosts that relay to others mean, whatever wire they speak; None: nothing special.

    Their balance is a quota that is filled up again, and a model that they do not have is answered
    with 503: it must not look like an overload, or one caller's typing error rests the account.
    """
    if refusal.status in {403, 429} and refusal.says(*_NO_BALANCE):
        return rest(refusal, USED_UP, "quota", None)
    if refusal.status == 503 and (
        "model_not_found" in refusal.words or refusal.says("no available channel for model")
    ):
        return error_from(refusal, NOT_PERMITTED)
    return None


def blocked(refusal: Refusal) -> UpstreamError:
    """The way is the trouble, not the account: what goes the same way is spared for a while."""
    harm = Harm("rest", "unreachable", scope="proxy", detail=refusal.detail)
    return error_from(refusal, BLOCKED, harm)


def out_of_use(refusal: Refusal, verdict: Verdict, cause: str, title: str) -> UpstreamError:
    """The account is out of use until an operator has looked; `title` begins what they read."""
    detail = (title + refusal.detail)[:512]
    return error_from(refusal, verdict, Harm("error", cause, detail=detail))


def rest(
    refusal: Refusal,
    verdict: Verdict,
    cause: str,
    until: float | None,
    *,
    scope: Scope = "account",
    again: float | None = None,
) -> UpstreamError:
    """The account rests until then, None for as long as its schedule says.

    With `again` (seconds) it is asked once more before that.
    """
    harm = Harm("rest", cause, scope=scope, until=until, detail=refusal.detail)
    wait = None if until is None else until - refusal.now
    return error_from(refusal, verdict, harm, retry_after=wait, again=again)


def error_from(
    refusal: Refusal,
    verdict: Verdict,
    harm: Harm | None = None,
    *,
    retry_after: float | None = None,
    again: float | None = None,
) -> UpstreamError:
    """Build the error of a refused attempt.

    A caller's fault keeps the vendor's reply for the client, unchanged. `retry_after` (seconds)
    falls back to the `retry-after` headers.
    """
    wait = retry_after if retry_after is not None else believed(retry_after_of(refusal.headers))
    shown = ClientError(verdict.message, status=verdict.status, kind=verdict.kind, retry_after=wait)
    answer = (refusal.status, list(refusal.headers), refusal.body)
    return UpstreamError(
        f"upstream answered {refusal.status}",
        then=verdict.then if again is None else Next.SAME_ACCOUNT,
        cause=verdict.cause,
        shown=shown,
        fault=verdict.fault,
        status=refusal.status,
        answer=answer if verdict is CALLER else None,
        harm=harm,
        again=again,
        told=refusal.body[:MOST_TOLD],
    )
