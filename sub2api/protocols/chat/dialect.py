"""The Chat wire, assembled; Embeddings speaks it too."""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.model.routes import Operation, Wire
from sub2api.protocols.chat.errors import error_event
from sub2api.protocols.chat.stream import ChatStream
from sub2api.protocols.interface import Dialect, Peek, ReplyFacts
from sub2api.protocols.json_splice import replace_string
from sub2api.protocols.openai_errors import KEEP_ALIVE, refusal
from sub2api.protocols.openai_usage import usage_of
from sub2api.protocols.reading import (
    decode_body,
    flag_of,
    invalid,
    limit_of,
    member,
    model_of,
    text,
)


class _Body(msgspec.Struct):
    """The members the gateway needs; everything else passes unread."""

    model: Any = msgspec.UNSET
    stream: Any = msgspec.UNSET
    stream_options: Any = None
    max_tokens: Any = msgspec.UNSET
    max_completion_tokens: Any = msgspec.UNSET
    input: msgspec.Raw = msgspec.Raw()


class _Reply(msgspec.Struct):
    id: Any = ""
    model: Any = ""
    usage: Any = None
    service_tier: Any = ""


_body = msgspec.json.Decoder(_Body)
_reply = msgspec.json.Decoder(_Reply)


def peek(body: bytes, operation: Operation, path_model: str) -> Peek:
    """Read model, stream and output limit. Raises ClientError 400."""
    found = decode_body(_body, body)
    model = model_of(body, found.model)
    if operation is Operation.EMBED:
        if not bytes(found.input):
            raise invalid("input is required: send the text to embed.", "input")
        return Peek(model=model)
    stream = flag_of(found.stream, "stream")
    options = member({"options": found.stream_options}, "options")
    return Peek(
        model=model,
        stream=stream,
        max_output=limit_of(found.max_completion_tokens) or limit_of(found.max_tokens),
        wants_usage=not stream or options.get("include_usage") is True,
    )


def read_reply(body: bytes) -> ReplyFacts:
    """Read a whole reply, a completion's or an embedding's."""
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


def set_model(body: bytes, name: str) -> bytes:
    """Return a request or reply with another model name."""
    return replace_string(body, ("model",), name)


DIALECT = Dialect(
    wire=Wire.CHAT,
    peek=peek,
    open_stream=ChatStream,
    read_reply=read_reply,
    rename_model=set_model,
    restore_model=set_model,
    refusal=refusal,
    error_event=error_event,
    keep_alive=KEEP_ALIVE,
)
