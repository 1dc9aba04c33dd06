"""Where clients put their platform key."""

from __future__ import annotations

from urllib.parse import parse_qsl

from sub2api.gateway.call import Call
from sub2api.model.routes import Wire


def key_of(call: Call) -> str:
    """Return the key's text, "" when there is none.

    `Authorization: Bearer`, `x-api-key`, `x-goog-api-key`: clients of every vendor use any of
    them. `?key=` counts on Gemini routes only, since URLs end up in logs.
    """
    scheme, _, bearer = call.header(b"authorization").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return bearer.strip()
    key = call.header(b"x-api-key") or call.header(b"x-goog-api-key")
    if key or call.match.wire is not Wire.GEMINI or not call.query:
        return key
    pairs = parse_qsl(call.query.decode("latin-1"), max_num_fields=100)
    return next((value for name, value in pairs if name == "key"), "")
