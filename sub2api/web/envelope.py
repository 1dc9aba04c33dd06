"""The one shape of the JSON API's answers: `{"code": 0, "message": "success", "data": ...}`.

Errors are `{"code": <status>, "reason": "UPPER_SNAKE", "message": ...}` with that HTTP status.
"""

from __future__ import annotations

from typing import Any

import msgspec
from quart import Response

_encode = msgspec.json.Encoder(decimal_format="number").encode


def success(data: Any) -> Response:
    """Return an answer with data."""
    return _json({"code": 0, "message": "success", "data": data}, 200)


def failure(status: int, reason: str, message: str) -> Response:
    """Return an error. `message` says what to do."""
    return _json({"code": status, "reason": reason, "message": message}, status)


def _json(body: dict[str, Any], status: int) -> Response:
    response = Response(_encode(body), status, content_type="application/json")
    response.headers["cache-control"] = "no-store"
    return response
