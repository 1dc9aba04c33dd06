"""How refusals look on Gemini routes. Source: Google's API design guide (errors)."""

from __future__ import annotations

import msgspec

from sub2api.errors import ClientError
from sub2api.protocols.sse import frame


def refusal(error: ClientError, call_id: str) -> bytes:
    """Return `{"error": {"code", "message", "status"}}`."""
    code = 503 if error.status == 529 else error.status
    return msgspec.json.encode(
        {"error": {"code": code, "message": str(error), "status": error.kind.google}}
    )


def error_event(error: ClientError, call_id: str) -> bytes:
    """Return the chunk that ends a stream with an error."""
    return frame(refusal(error, call_id))
