"""Who calls: users, their API keys, and the two together as the gateway sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sub2api.model.limits import NO_LIMITS, Limits

KeyStatus = Literal["active", "disabled", "revoked"]


@dataclass(frozen=True, slots=True)
class User:
    """A person with a balance. Simple mode has exactly one, the owner (id 1)."""

    id: int
    email: str
    role: Literal["admin", "user"] = "user"
    status: Literal["active", "disabled"] = "active"
    concurrency: int = 0
    balance: int = 0
    created_at: float = 0.0
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A platform API key. The text itself is not here: it is sealed in the store.

    `hint` is what lists show ("sk-ab12…9f"). `group_ids` is the ordered list of groups the key may
    use; empty means every account in simple mode. `concurrency`: calls at once, 0 = unlimited.
    `quota` is what it may spend in all, in nanodollars, 0 = unlimited.
    `ip_allow` and `ip_deny` hold addresses and CIDR networks. Times are seconds since 1970.
    """

    id: int
    user_id: int
    name: str
    hint: str
    status: KeyStatus = "active"
    group_ids: tuple[int, ...] = ()
    concurrency: int = 0
    ip_allow: tuple[str, ...] = ()
    ip_deny: tuple[str, ...] = ()
    expires_at: float | None = None
    last_used_at: float | None = None
    created_at: float = 0.0
    limits: Limits = NO_LIMITS
    quota: int = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated call's principal: a key and its owner."""

    key: ApiKey
    user: User
