"""What clients are told of a refusal, where the operator has a rule for it."""

from __future__ import annotations

from collections.abc import Iterable

from sub2api.errors import UPSTREAM, ClientError
from sub2api.model.health import ErrorRule
from sub2api.platforms.refusal import message_in

_LOOKED_AT = 8 << 10
_NO_MESSAGE = "The upstream refused the request."


def told(rules: Iterable[ErrorRule], platform: str, status: int, body: bytes) -> ClientError | None:
    """Return what the first rule that fits tells the client, None if none does.

    `status` and `body` are the vendor's. Lower priorities go first, then older rules.
    """
    said = body[:_LOOKED_AT].decode("utf-8", "replace").lower()
    for rule in sorted(rules, key=lambda each: (each.priority, each.id)):
        if _fits(rule, platform, status, said):
            message = rule.message or message_in(body) or _NO_MESSAGE
            return ClientError(message, status=rule.status or status, kind=UPSTREAM)
    return None


def _fits(rule: ErrorRule, platform: str, status: int, said: str) -> bool:
    if not rule.enabled or (rule.platforms and platform not in rule.platforms):
        return False
    keywords = [word.strip().lower() for word in rule.keywords if word.strip()]
    conditions = []
    if rule.statuses:
        conditions.append(status in rule.statuses)
    if keywords:
        conditions.append(any(word in said for word in keywords))
    return bool(conditions) and (any if rule.match == "any" else all)(conditions)
