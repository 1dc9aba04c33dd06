"""The Chat wire, assembled; Embeddings speaks it too."""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.model.routes import Operation, Wire
from sub2api.protocols.chat.errors import error_event
from sub2api.protocols.chat.stream import ChatStream
from sub2api.protocols.edits import set_model
from sub2api.protocols.interface import Dialect, Peek
from sub2api.protocols.openai_errors import KEEP_ALIVE, refusal
from sub2api.protocols.openai_replies import read_reply
from sub2api.protocols.reading import (
    decode_body,
    flag_of,
    invalid,
    limit_of,
    member,
    model_of,
)


class _Body(msgspec.Struct):
    """The members the gateway needs; everything else passes unread."""

    model: Any = msgspec.UNSET
    stream: Any = msgspec.UNSET
    stream_options: Any = None
    max_tokens: Any = msgspec.UNSET
    max_completion_tokens: Any = msgspec.UNSET
    input: msgspec.Raw = msgspec.Raw()


_body = msgspec.json.Decoder(_Body)


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
