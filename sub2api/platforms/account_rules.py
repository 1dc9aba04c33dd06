"""What an operator has said about one account's refusals, on top of its vendor's table."""

from __future__ import annotations

from sub2api.errors import ClientError, Fault, Next, UpstreamError
from sub2api.model.accounts import Account
from sub2api.model.health import Harm, RestRule
from sub2api.platforms.refusal import message_in
from sub2api.platforms.refusals import BROKEN, MOST_TOLD


def with_account_rules(
    error: UpstreamError, account: Account, status: int, body: bytes, now: float
) -> UpstreamError:
    """Return the error as the account's own rules have it; the same one if none applies.

    Custom codes go before rest rules: with them, only the statuses they list harm the account, and
    put it out of use. A rest rule never applies to a 401: no wait repairs a credential.
    """
    if account.custom_error_codes is not None:
        if status in account.custom_error_codes:
            detail = f"Custom error code {status}: {message_in(body)}"[:512]
            return _harmed(error, Harm("error", "rule", detail=detail))
        return _unharmed(error)
    rule = _rule_for(account.rest_rules, status, body) if status != 401 else None
    if rule is None:
        return error
    detail = f"{rule.description or 'Rest rule'} ({status}): {message_in(body)}"[:512]
    return _harmed(error, Harm("rest", "rule", until=now + rule.minutes * 60, detail=detail))


def _rule_for(rules: tuple[RestRule, ...], status: int, body: bytes) -> RestRule | None:
    fitting = [rule for rule in rules if rule.status == status and rule.minutes > 0]
    if not fitting:
        return None
    said = body[:MOST_TOLD].decode("utf-8", "replace").lower()
    for rule in fitting:
        words = (word.strip().lower() for word in rule.keywords)
        if any(word and word in said for word in words):
            return rule
    return None


def _harmed(error: UpstreamError, harm: Harm) -> UpstreamError:
    """The operator calls it the account's fault: others are asked, and no body is passed on."""
    shown = error.shown
    if error.fault is Fault.CALLER:
        shown = ClientError(BROKEN.message, status=BROKEN.status, kind=BROKEN.kind)
    return UpstreamError(
        str(error),
        then=Next.OTHER_ACCOUNT,
        cause=error.cause if error.fault is not Fault.CALLER else "rule",
        shown=shown,
        fault=Fault.ACCOUNT,
        status=error.status,
        harm=harm,
        told=error.told,
    )


def _unharmed(error: UpstreamError) -> UpstreamError:
    if error.harm is None:
        return error
    return UpstreamError(
        str(error),
        then=error.then,
        cause=error.cause,
        shown=error.shown,
        fault=error.fault,
        status=error.status,
        answer=error.answer,
        again=error.again,
        told=error.told,
    )
