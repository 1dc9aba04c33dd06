"""Accounts (upstream credentials), the groups they serve in, and the proxies they leave through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sub2api.model.health import RestRule
from sub2api.model.limits import NO_LIMITS, Limits

PlatformName = Literal["anthropic", "openai", "gemini", "antigravity"]
PLATFORM_NAMES: tuple[PlatformName, ...] = ("anthropic", "openai", "gemini", "antigravity")
AccountType = Literal["apikey", "oauth", "setup-token"]
AccountStatus = Literal["active", "disabled", "error"]
ProxyProtocol = Literal["http", "https", "socks5", "socks5h"]
DisconnectPolicy = Literal["drain", "observed", "cancel"]


@dataclass(frozen=True, slots=True)
class Proxy:
    """An outgoing proxy. `username` and `password` are None together or set together."""

    id: int
    name: str
    protocol: ProxyProtocol
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    status: Literal["active", "disabled"] = "active"


@dataclass(frozen=True, slots=True)
class Account:
    """One upstream credential and how it may be used.

    `priority`: lower is preferred. `concurrency`: calls at once, 0 = unlimited. `base_url` empty
    means the platform's own host. `model_mapping` maps a client's model name to the upstream's,
    keys may end in one `*`; empty means every model, unchanged. `proxy` is None for a direct
    connection. Times are seconds since 1970.

    `max_sessions`: different sessions at once, 0 = unlimited. `window_cost_limit` (nanodollars of
    list cost in the vendor's 5 h window, 0 = off) keeps new sessions away once it is reached;
    bound ones may go on for another `window_cost_reserve`. `rest_rules`: see `RestRule`.
    `custom_error_codes` None leaves refusals to the platform's table; otherwise only these statuses
    harm the account, and put it out of use. `adaptive_concurrency` lowers `concurrency` for a while
    when the vendor's limits are hit. Rests that began before `cleared_at` are void.
    """

    id: int
    name: str
    platform: PlatformName
    type: AccountType = "apikey"
    api_key: str = field(default="", repr=False)
    base_url: str = ""
    model_mapping: dict[str, str] = field(default_factory=dict)
    proxy: Proxy | None = None
    concurrency: int = 0
    priority: int = 50
    status: AccountStatus = "active"
    schedulable: bool = True
    error_message: str | None = None
    expires_at: float | None = None
    last_used_at: float | None = None
    notes: str | None = None
    group_ids: tuple[int, ...] = ()
    created_at: float = 0.0
    limits: Limits = NO_LIMITS
    max_sessions: int = 0
    session_idle_minutes: int = 5
    window_cost_limit: int = 0
    window_cost_reserve: int = 10_000_000_000
    rest_rules: tuple[RestRule, ...] = ()
    custom_error_codes: tuple[int, ...] | None = None
    adaptive_concurrency: bool = False
    cleared_at: float | None = None

    def is_usable(self, now: float) -> bool:
        """Whether the account may be chosen at `now` (seconds since 1970)."""
        return (
            self.status == "active"
            and self.schedulable
            and (self.expires_at is None or now < self.expires_at)
        )


@dataclass(frozen=True, slots=True)
class Group:
    """A pool of accounts of one platform, sold under one name.

    `rate_multiplier` is an exact decimal in text ("1", "0.85"); 0 means free. `disconnect`
    overrides `gateway.disconnect` for the group's calls, None = the setting. `concurrency` and
    `limits` are those of all its calls together. `model_routes` sends models to some of its
    accounts only: a name, or a pattern ending in `*`, to account ids; the longest that fits counts.
    `first_byte_timeout` (seconds to a stream's first frame, 0 = none) overrides the setting.
    """

    id: int
    name: str
    platform: PlatformName
    description: str | None = None
    rate_multiplier: str = "1"
    status: Literal["active", "disabled"] = "active"
    disconnect: DisconnectPolicy | None = None
    created_at: float = 0.0
    concurrency: int = 0
    limits: Limits = NO_LIMITS
    model_routes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    first_byte_timeout: float | None = None
