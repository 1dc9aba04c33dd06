"""Anthropic usage objects.

Source: Anthropic's API reference (Messages, `usage`). `input_tokens` excludes cached ones.
`cache_creation_input_tokens` is the total of what `cache_creation.ephemeral_5m_input_tokens` and
`ephemeral_1h_input_tokens` split up. Compatible hosts leave the split out, or (Kimi) report cache
hits as `cached_tokens`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.model.tokens import Tokens, Usage
from sub2api.protocols.reading import Count, count, member, text


class _Written(msgspec.Struct):
    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class _Made(msgspec.Struct):
    thinking_tokens: Count | None = None


class _Tools(msgspec.Struct):
    web_search_requests: Count | None = None


class _Usage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cached_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: _Written | None = None
    output_tokens_details: _Made | None = None
    server_tool_use: _Tools | None = None
    speed: str | None = None
    service_tier: str | None = None


_COUNTS = tuple(name for name in _Usage.__struct_fields__ if name.endswith("_tokens"))


def usage_of(received: dict[str, Any]) -> Usage:
    """Read a usage object; numbers that make no sense count as 0."""
    try:
        found = msgspec.convert(received, _Usage)
    except msgspec.ValidationError:
        found = msgspec.convert(_tamed(received), _Usage)
    long = short = 0
    if found.cache_creation is not None:
        long = found.cache_creation.ephemeral_1h_input_tokens or 0
        short = found.cache_creation.ephemeral_5m_input_tokens or 0
    if found.cache_creation_input_tokens:
        short = max(short, found.cache_creation_input_tokens - long)
    made, tools = found.output_tokens_details, found.server_tool_use
    tokens = Tokens(
        found.input_tokens or 0,
        found.output_tokens or 0,
        found.cache_read_input_tokens or found.cached_tokens or 0,
        short,
        long,
        reasoning=made.thinking_tokens or 0 if made is not None else 0,
        web_searches=tools.web_search_requests or 0 if tools is not None else 0,
        service_tier=_tier(found),
    )
    return Usage(tokens, received)


def merged(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Combine `message_start`'s usage with a `message_delta`'s.

    The delta's numbers are cumulative, so they replace, never add; what it leaves out, or sends as
    null or 0, stays as it was.
    """
    return {**earlier, **{name: value for name, value in later.items() if value}}


def _tier(found: _Usage) -> str:
    """Return the tier that is priced: fast mode, else the service tier, "" for standard."""
    if found.speed == "fast":
        return "fast"
    tier = found.service_tier
    return "" if tier is None or tier == "standard" else tier[:40]


def _tamed(received: dict[str, Any]) -> dict[str, Any]:
    """Keep what makes sense of a usage object that is not as it should be."""
    inner = {
        name: {key: count(value) for key, value in member(received, name).items()}
        for name in ("cache_creation", "output_tokens_details", "server_tool_use")
    }
    counts = {name: count(received.get(name)) for name in _COUNTS}
    words = {name: text(received.get(name)) for name in ("speed", "service_tier")}
    return {**counts, **inner, **words}
