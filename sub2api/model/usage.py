"""One call's record: what it was, who paid, what it used, what it cost."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SettledBy = Literal["observed", "drained", "estimated", "recovered", "none"]
"""How tokens were learnt: seen in the reply; read on after the client left; estimated; taken from a
dead process's journal; none (the call failed and used nothing we know of)."""


class FailedAttempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An attempt of a call that failed before another one answered; its account bears the expense.

    `position` counts a call's attempts from 1. `cause` is the short stable word of its harm, or of
    what happened. `status` is the upstream's, None without a reply. Tokens are what the vendor
    reported before it failed; `list_cost` (nanodollars) is None when the model has no known price.
    """

    position: int
    account_id: int
    cause: str
    started_at: float
    status: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    cache_creation_long_tokens: int = 0
    list_cost: int | None = None


class UsageRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A finished call. The journal's close record carries it; the store keeps it.

    The call's `Tally` fills it in as it learns; nobody changes it once it is closed.

    Money is whole nanodollars. `cost` is the list cost times the multiplier; `list_cost` is before
    it. Both are None when the model has no known price (not 0). `charged` is what was taken from
    the owner: 0 in simple mode. Token columns follow `Tokens`; `details` holds its rarer classes,
    `received` the vendor's usage object verbatim, `pricing` the unit prices, tier, multiplier and
    their source that `cost` was computed with. `status` is the HTTP status the client got (499 when
    it left first); `error` is a short stable word, empty on success. Times are seconds since 1970,
    durations milliseconds.
    """

    call_id: str
    started_at: float
    user_id: int
    key_id: int
    key_name: str
    account_id: int | None = None
    account_name: str = ""
    group_id: int | None = None
    platform: str = ""
    wire: str
    operation: str
    model: str
    upstream_model: str = ""
    stream: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    cache_creation_long_tokens: int = 0
    details: dict[str, Any] = {}
    received: dict[str, Any] = {}
    cost: int | None = None
    list_cost: int | None = None
    charged: int = 0
    multiplier: str = "1"
    pricing: dict[str, Any] = {}
    status: int = 200
    error: str = ""
    settled_by: SettledBy = "observed"
    truncated: bool = False
    attempts: int = 1
    upstream_request_id: str = ""
    duration_ms: int = 0
    first_token_ms: int | None = None
    client_ip: str = ""
    user_agent: str = ""
