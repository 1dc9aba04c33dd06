"""How a Chat stream ends with an error."""

from __future__ import annotations

from sub2api.errors import ClientError
from sub2api.protocols.openai_errors import refusal
from sub2api.protocols.sse import frame


def error_event(error: ClientError, call_id: str) -> bytes:
    """Return the chunk the SDKs raise on. No `[DONE]` follows: the stream is not complete."""
    return frame(refusal(error, call_id))
