"""Gemini usage metadata.

Source: Google's Gemini API reference (`UsageMetadata`). `promptTokenCount` includes cached tokens;
thoughts are apart from candidates and priced like them; tool use prompts are input. The
`*TokensDetails` lists split totals by modality.
"""

from __future__ import annotations

from typing import Any

from sub2api.model.tokens import Tokens, Usage
from sub2api.protocols.reading import count


def usage_of(received: dict[str, Any], service_tier: str = "") -> Usage:
    """Read a usageMetadata object; numbers that make no sense count as 0."""
    cached = count(received.get("cachedContentTokenCount"))
    prompt = count(received.get("promptTokenCount"))
    cached = min(cached, prompt)
    thoughts = count(received.get("thoughtsTokenCount"))
    given = _modalities(received.get("promptTokensDetails"))
    kept = _modalities(received.get("cacheTokensDetails"))
    made = _modalities(received.get("candidatesTokensDetails"))
    audio = max(0, given.get("AUDIO", 0) - kept.get("AUDIO", 0))
    image = max(0, given.get("IMAGE", 0) - kept.get("IMAGE", 0))
    plain = max(0, prompt - cached)
    audio = min(audio, plain)
    image = min(image, plain - audio)
    produced = count(received.get("candidatesTokenCount"))
    audio_out = min(made.get("AUDIO", 0), produced)
    image_out = min(made.get("IMAGE", 0), produced - audio_out)
    return Usage(
        Tokens(
            input=plain - audio - image + count(received.get("toolUsePromptTokenCount")),
            output=produced - audio_out - image_out + thoughts,
            cache_read=cached,
            input_audio=audio,
            input_image=image,
            output_audio=audio_out,
            output_image=image_out,
            reasoning=thoughts,
            service_tier=service_tier,
        ),
        received,
    )


def _modalities(details: Any) -> dict[str, int]:
    """Add up a `[{"modality", "tokenCount"}]` list."""
    sums: dict[str, int] = {}
    for entry in details if isinstance(details, list) else []:
        if isinstance(entry, dict):
            name = str(entry.get("modality"))
            sums[name] = sums.get(name, 0) + count(entry.get("tokenCount"))
    return sums
