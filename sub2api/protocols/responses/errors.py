"""How a Responses stream ends with an error."""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.errors import ClientError
from sub2api.protocols.openai_errors import error_object
from sub2api.protocols.sse import frame

_FAILED_CODES = {"server_is_overloaded", "rate_limit_exceeded", "context_length_exceeded"}
"""Codes that Codex treats specially in `response.failed`."""

_FAILED_RESPONSE: dict[str, Any] = {
    "object": "response",
    "created_at": 0,
    "status": "failed",
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "",
    "output": [],
    "parallel_tool_calls": False,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
}
"""What the SDKs require of a response object, at its emptiest."""


def error_event(error: ClientError, call_id: str) -> bytes:
    """Return an `error` event and a `response.failed`.

    SDKs hand the first over without raising; clients that wait for the end of the response (Codex)
    need the second.
    """
    said = error_object(error)
    code = said["code"] or "invalid_request"
    event: dict[str, Any] = {
        "type": "error",
        "code": code,
        "message": said["message"],
        "param": said["param"],
        "sequence_number": 0,
    }
    failed = {
        "type": "response.failed",
        "sequence_number": 1,
        "response": {
            **_FAILED_RESPONSE,
            "id": f"resp_{call_id}",
            "error": {
                "code": code if code in _FAILED_CODES else "server_error",
                "message": said["message"],
            },
        },
    }
    return frame(msgspec.json.encode(event), b"error") + frame(
        msgspec.json.encode(failed), b"response.failed"
    )
