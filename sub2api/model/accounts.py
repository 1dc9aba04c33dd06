"""Accounts (upstream credentials), the groups they serve in, and the proxies they leave through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

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
    overrides `gateway.disconnect` for the group's calls, None = the setting.
    """

    id: int
    name: str
    platform: PlatformName
    description: str | None = None
    rate_multiplier: str = "1"
    status: Literal["active", "disabled"] = "active"
    disconnect: DisconnectPolicy | None = None
    created_at: float = 0.0
