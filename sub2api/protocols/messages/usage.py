"""Anthropic usage objects.

Source: Anthropic's API reference (Messages, `usage`). `input_tokens` excludes cached ones.
`cache_creation_input_tokens` is the total of what `cache_creation.ephemeral_5m_input_tokens` and
`ephemeral_1h_input_tokens` split up. Compatible hosts leave the split out, or (Kimi) report cache
hits as `cached_tokens`.
"""

from __future__ import annotations

from typing import Any

from sub2api.model.tokens import Tokens, Usage
from sub2api.protocols.reading import count, member, text


def usage_of(received: dict[str, Any]) -> Usage:
    """Read a usage object; numbers that make no sense count as 0."""
    get = received.get
    long = short = reasoning = searches = 0
    if split := get("cache_creation"):
        long = count(member(received, "cache_creation").get("ephemeral_1h_input_tokens"))
        short = count(split.get("ephemeral_5m_input_tokens")) if isinstance(split, dict) else 0
    if written := count(get("cache_creation_input_tokens")):
        short = max(short, written - long)
    if "output_tokens_details" in received:
        reasoning = count(member(received, "output_tokens_details").get("thinking_tokens"))
    if "server_tool_use" in received:
        searches = count(member(received, "server_tool_use").get("web_search_requests"))
    tokens = Tokens(
        input=count(get("input_tokens")),
        output=count(get("output_tokens")),
        cache_read=count(get("cache_read_input_tokens") or get("cached_tokens")),
        cache_write=short,
        cache_write_long=long,
        reasoning=reasoning,
        web_searches=searches,
        service_tier=_tier(received),
    )
    return Usage(tokens, received)


def merged(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Combine `message_start`'s usage with a `message_delta`'s.

    The delta's numbers are cumulative, so they replace, never add; what it leaves out, or sends as
    null or 0, stays as it was.
    """
    return {**earlier, **{name: value for name, value in later.items() if value}}


def _tier(received: dict[str, Any]) -> str:
    """Return the tier that is priced: fast mode, else the service tier, "" for standard."""
    if text(received.get("speed")) == "fast":
        return "fast"
    tier = text(received.get("service_tier"))[:40]
    return "" if tier == "standard" else tier
