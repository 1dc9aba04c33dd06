"""How refusals look on OpenAI's wires. Source: OpenAI's API reference (error codes)."""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.errors import ClientError

KEEP_ALIVE = b": keep-alive\n\n"


def error_object(error: ClientError) -> dict[str, Any]:
    """Return `{"message", "type", "param", "code"}`: the SDKs take `code` and `message` from it."""
    kind, code = error.kind.openai
    return {"message": str(error), "type": kind, "param": error.param, "code": code}


def refusal(error: ClientError, call_id: str) -> bytes:
    """Return `{"error": {...}}`."""
    return msgspec.json.encode({"error": error_object(error)})
