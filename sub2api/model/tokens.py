"""What one reply consumed, in the classes that prices distinguish."""

from __future__ import annotations

from typing import Any

import msgspec


class Tokens(msgspec.Struct, frozen=True, omit_defaults=True):
    """Token counts of one reply. The priced classes are disjoint: no token is counted in two.

    `input`, `output`: plain text (and whatever the vendor does not split out). `cache_read`: prompt
    tokens served from a cache. `cache_write`: prompt tokens written to a cache with the vendor's
    short lifetime (Anthropic 5 minutes, OpenAI 30 minutes); `cache_write_long`: with the long one
    (1 hour, 12 hours). `input_audio`, `input_image`, `output_audio`, `output_image`: by modality.
    `reasoning` is information only: it is already inside `output`. `web_searches` counts calls of
    the vendor's search tool, priced by the call. `service_tier` is the tier the vendor says it
    used (`priority`, `flex`, `batch`, `fast`, ...), empty for the standard one.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_long: int = 0
    input_audio: int = 0
    input_image: int = 0
    output_audio: int = 0
    output_image: int = 0
    reasoning: int = 0
    web_searches: int = 0
    service_tier: str = ""

    @property
    def prompt(self) -> int:
        """All tokens of the prompt, cached or not: what context-length tiers are decided on."""
        return (
            self.input
            + self.cache_read
            + self.cache_write
            + self.cache_write_long
            + self.input_audio
            + self.input_image
        )

    @property
    def produced(self) -> int:
        """All tokens of the answer, whatever their modality."""
        return self.output + self.output_audio + self.output_image


class Usage(msgspec.Struct, frozen=True):
    """A reply's tokens, and the vendor's own usage object they were read from, kept verbatim."""

    tokens: Tokens = Tokens()
    received: dict[str, Any] = {}
