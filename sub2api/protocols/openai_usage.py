"""OpenAI usage objects, in the Chat and the Responses spelling.

Source: OpenAI's API reference (`usage`). The input total includes cached, cache-written, audio and
image tokens, so those are taken out of it; the output total includes audio, image and reasoning
tokens, of which reasoning is priced as output. Compatible hosts spell cache hits differently
(DeepSeek: `prompt_cache_hit_tokens`; Kimi: a top-level `cached_tokens`).
"""

from __future__ import annotations

from typing import Any

from sub2api.model.tokens import Tokens, Usage
from sub2api.protocols.reading import count, member


def usage_of(received: dict[str, Any], service_tier: str = "") -> Usage:
    """Read a usage object of either spelling; numbers that make no sense count as 0."""
    chat = "prompt_tokens" in received
    given = member(received, "prompt_tokens_details" if chat else "input_tokens_details")
    made = member(received, "completion_tokens_details" if chat else "output_tokens_details")
    total_in = count(received.get("prompt_tokens" if chat else "input_tokens"))
    total_out = count(received.get("completion_tokens" if chat else "output_tokens"))
    cached = min(_cached(received, given), total_in)
    short, long = _written(given)
    audio_in, image_in = count(given.get("audio_tokens")), count(given.get("image_tokens"))
    audio_out, image_out = count(made.get("audio_tokens")), count(made.get("image_tokens"))
    return Usage(
        Tokens(
            input=max(0, total_in - cached - short - long - audio_in - image_in),
            output=max(0, total_out - audio_out - image_out),
            cache_read=cached,
            cache_write=short,
            cache_write_long=long,
            input_audio=audio_in,
            input_image=image_in,
            output_audio=audio_out,
            output_image=image_out,
            reasoning=count(made.get("reasoning_tokens")),
            service_tier=priced_tier(service_tier),
        ),
        received,
    )


def priced_tier(reported: str) -> str:
    """Return the tier a reply was served in, "" for the standard one."""
    return "" if reported in {"default", "auto", "standard"} else reported[:40]


def _cached(received: dict[str, Any], given: dict[str, Any]) -> int:
    return (
        count(given.get("cached_tokens"))
        or count(received.get("prompt_cache_hit_tokens"))
        or count(received.get("cached_tokens"))
    )


def _written(given: dict[str, Any]) -> tuple[int, int]:
    """Return cache writes with the short (30 minutes) and the long (12 hours) lifetime."""
    total = count(given.get("cache_write_tokens"))
    split = member(given, "cache_write_tokens_details")
    long = count(split.get("ttl_12h_tokens"))
    short = count(split.get("ttl_30m_tokens"))
    return (short if short + long >= total else max(0, total - long)), long
