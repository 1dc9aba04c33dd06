"""The URL policy that the settings ask for."""

from __future__ import annotations

from sub2api.settings import Settings
from sub2api.transport.url_guard import Guard, Policy


def guard_for(settings: Settings) -> Guard:
    """Return the guard of upstream URLs."""
    allowlist = settings.security.url_allowlist
    return Guard(
        Policy(
            allow_insecure_http=allowlist.allow_insecure_http,
            allow_private_hosts=allowlist.allow_private_hosts,
            allow_loopback_http=allowlist.allow_loopback,
            allowlist=allowlist.enabled,
            hosts=tuple(allowlist.upstream_hosts),
        )
    )
