"""Headers that tell a caller of its own limits, in the names that OpenAI's SDKs and tools read.

Source: OpenAI's rate limit guide (`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, times
such as "12s").
"""

from __future__ import annotations

import math

from sub2api.live.interfaces import Granted, Refused, Usage

Headers = tuple[tuple[bytes, bytes], ...]


def limit_headers(decision: Granted | Refused) -> Headers:
    """Return the headers of a decision: none for a caller without such limits."""
    if decision.requests is None and decision.tokens is None:
        return ()
    return (*_headers(b"requests", decision.requests), *_headers(b"tokens", decision.tokens))


def _headers(unit: bytes, usage: Usage | None) -> Headers:
    if usage is None:
        return ()
    return (
        (b"x-ratelimit-limit-" + unit, b"%d" % usage.limit),
        (b"x-ratelimit-remaining-" + unit, b"%d" % max(0, usage.remaining)),
        (b"x-ratelimit-reset-" + unit, b"%ds" % math.ceil(usage.resets)),
    )
