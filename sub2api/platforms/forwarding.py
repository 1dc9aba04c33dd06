"""Which headers travel: from client to vendor, and from vendor to client.

Towards the vendor the list is open (clients add headers faster than gateways learn of them) minus
what must never travel: the client's own credentials, its address, cookies and hop-by-hop framing.
Towards the client it is closed, with open families.
"""

from __future__ import annotations

from functools import lru_cache

from sub2api.platforms.interface import Outgoing
from sub2api.transport.messages import Headers

_NEVER_SENT = frozenset(
    {
        # framing and hop-by-hop (RFC 9110 7.6.1)
        b"host", b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade",
        b"transfer-encoding", b"content-length", b"content-encoding", b"expect", b"accept-encoding",
        b"http2-settings",
        # credentials
        b"authorization", b"proxy-authorization", b"x-api-key", b"x-goog-api-key", b"api-key",
        b"cookie", b"cookie2",
        # the client's address and the way it came
        b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"true-client-ip", b"cf-connecting-ip",
        b"cf-ipcountry", b"cf-ray", b"cf-visitor", b"cdn-loop", b"origin", b"referer", b"x-scheme",
        # they belong to the client's own contract with the vendor, not to this account's
        b"openai-organization", b"openai-project", b"x-goog-user-project",
        # the client's patience with us; passed on it made vendors cancel long calls
        b"x-stainless-timeout", b"x-stainless-read-timeout", b"x-server-timeout",
    }
)  # fmt: skip
_NEVER_SENT_FAMILIES = (b"x-forwarded-", b"sec-", b"proxy-", b"x-envoy-", b"x-amzn-")

_SHOWN = frozenset(
    {
        b"content-type", b"content-language", b"content-disposition", b"cache-control", b"etag",
        b"last-modified", b"expires", b"vary", b"retry-after", b"retry-after-ms", b"x-should-retry",
        b"x-models-etag", b"x-reasoning-included",
    }
)  # fmt: skip
_SHOWN_FAMILIES = (b"anthropic-", b"x-ratelimit-", b"x-codex-", b"openai-", b"x-gemini-")
_NEVER_SHOWN = frozenset({b"anthropic-organization-id", b"openai-organization", b"openai-project"})


JSON = (b"content-type", b"application/json")
_PLAIN_CONNECTIONS = frozenset({b"keep-alive", b"close", b""})


@lru_cache(2048)
def _travels(name: bytes) -> bool:
    return name not in _NEVER_SENT and not name.startswith(_NEVER_SENT_FAMILIES)


@lru_cache(2048)
def _is_shown(name: bytes) -> bool:
    return name in _SHOWN or (name.startswith(_SHOWN_FAMILIES) and name not in _NEVER_SHOWN)


def to_vendor(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the client's headers that go on to a vendor, in their order."""
    kept = [header for header in headers if _travels(header[0])]
    names = [name for name, _ in headers]
    if b"connection" not in names:
        return kept
    named = headers[names.index(b"connection")][1].lower()
    if named in _PLAIN_CONNECTIONS:
        return kept
    hop = {part.strip() for part in named.split(b",")}
    return [header for header in kept if header[0] not in hop]


def signed(
    outgoing: Outgoing, credential: tuple[bytes, bytes], *defaults: tuple[bytes, bytes]
) -> list[tuple[bytes, bytes]]:
    """Return a call's headers for a vendor: what travels, what is missing, and a credential."""
    headers = to_vendor(outgoing.headers)
    names = [name for name, _ in headers]
    headers += [default for default in defaults if default[0] not in names]
    headers.append(credential)
    return headers


def to_client(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the vendor's headers that a client gets: none that frames, or names the account."""
    return [(name, value.strip(b" \t")) for name, value in headers if _is_shown(name)]


def value_of(headers: Headers, name: bytes) -> str:
    """Return the first value of a header, "" when absent."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1").strip()
    return ""
