"""How refusals look on Messages. Source: Anthropic's API reference (errors, streaming)."""

from __future__ import annotations

import msgspec

from sub2api.errors import ClientError
from sub2api.protocols.sse import frame

KEEP_ALIVE = b'event: ping\ndata: {"type": "ping"}\n\n'


def refusal(error: ClientError, call_id: str) -> bytes:
    """Return `{"type": "error", "error": {"type", "message"}, "request_id"}`."""
    return msgspec.json.encode(
        {
            "type": "error",
            "error": {"type": error.kind.anthropic, "message": str(error)},
            "request_id": call_id,
        }
    )


def error_event(error: ClientError, call_id: str) -> bytes:
    """Return the event that ends a stream with an error."""
    return frame(refusal(error, call_id), b"error")
