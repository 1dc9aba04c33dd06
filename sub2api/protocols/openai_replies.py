"""Whole replies of OpenAI's wires: completions, responses and embeddings are read alike."""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.protocols.interface import ReplyFacts
from sub2api.protocols.openai_usage import usage_of
from sub2api.protocols.reading import member, text


class _Reply(msgspec.Struct):
    id: Any = ""
    model: Any = ""
    usage: Any = None
    service_tier: Any = ""


_reply = msgspec.json.Decoder(_Reply)


def read_reply(body: bytes) -> ReplyFacts:
    """Read a whole reply; never raises."""
    try:
        reply = _reply.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ReplyFacts()
    received = member({"usage": reply.usage}, "usage")
    return ReplyFacts(
        usage=usage_of(received, text(reply.service_tier)) if received else None,
        model=text(reply.model),
        response_id=text(reply.id),
    )
