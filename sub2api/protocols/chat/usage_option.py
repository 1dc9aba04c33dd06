"""Asking a Chat vendor for the usage of a stream, which it reports only when asked."""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.protocols.json_splice import set_top_level


class _Body(msgspec.Struct):
    stream_options: Any = None


_decoder = msgspec.json.Decoder(_Body)


def ask_for_usage(body: bytes) -> bytes:
    """Return the body with `stream_options.include_usage` true, other stream options kept."""
    options = _decoder.decode(body).stream_options
    kept = options if isinstance(options, dict) else {}
    wanted = msgspec.json.encode({**kept, "include_usage": True})
    return set_top_level(body, "stream_options", wanted)
