"""The Gemini wire, assembled."""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.model.routes import Operation, Wire
from sub2api.protocols.gemini.errors import error_event, refusal
from sub2api.protocols.gemini.stream import GeminiStream
from sub2api.protocols.gemini.usage import usage_of
from sub2api.protocols.interface import Dialect, Peek, ReplyFacts
from sub2api.protocols.json_splice import replace_string
from sub2api.protocols.reading import decode_body, invalid, limit_of, member, text


class _Body(msgspec.Struct):
    """The member the gateway needs, in both spellings; everything else passes unread."""

    generationConfig: Any = None  # noqa: N815  the wire's name
    generation_config: Any = None


class _Reply(msgspec.Struct):
    responseId: Any = ""  # noqa: N815  the wire's name
    modelVersion: Any = ""  # noqa: N815  the wire's name
    usageMetadata: Any = None  # noqa: N815  the wire's name


_body = msgspec.json.Decoder(_Body)
_reply = msgspec.json.Decoder(_Reply)
_replies = msgspec.json.Decoder(list[_Reply])


def peek(body: bytes, operation: Operation, path_model: str) -> Peek:
    """Take the model from the path; read the output limit. Raises ClientError 400."""
    found = decode_body(_body, body)
    model = path_model.removeprefix("models/")
    if not model or len(model) > 256:
        raise invalid("The path must name a model: /v1beta/models/MODEL:ACTION.")
    config = found.generationConfig or found.generation_config
    settings = config if isinstance(config, dict) else {}
    limit = settings.get("maxOutputTokens", settings.get("max_output_tokens"))
    return Peek(model=model, max_output=limit_of(limit))


def read_reply(body: bytes) -> ReplyFacts:
    """Read a whole reply, or the JSON array that streaming without `alt=sse` gives."""
    try:
        is_list = body.lstrip()[:1] == b"["
        replies = _replies.decode(body) if is_list else [_reply.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ReplyFacts()
    usage = None
    for reply in replies:
        received = member({"usage": reply.usageMetadata}, "usage")
        usage = usage_of(received) if received else usage
    last = replies[-1] if replies else _Reply()
    return ReplyFacts(usage=usage, model=text(last.modelVersion), response_id=text(last.responseId))


def keep_body(body: bytes, name: str) -> bytes:
    """Return the request as it is: its model is in the path."""
    return body


def restore_model(body: bytes, name: str) -> bytes:
    """Return a reply with the model's name as the client knows it."""
    return replace_string(body, ("modelVersion",), name)


DIALECT = Dialect(
    wire=Wire.GEMINI,
    peek=peek,
    open_stream=GeminiStream,
    read_reply=read_reply,
    rename_model=keep_body,
    restore_model=restore_model,
    refusal=refusal,
    error_event=error_event,
    # Google's SDKs take a comment for a chunk and fail: silence is all this wire allows.
    keep_alive=b"",
)
