"""The Messages wire, assembled."""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.model.routes import Operation, Wire
from sub2api.protocols.edits import set_model
from sub2api.protocols.interface import Dialect, Peek, ReplyFacts
from sub2api.protocols.messages.errors import KEEP_ALIVE, error_event, refusal
from sub2api.protocols.messages.stream import MessagesStream
from sub2api.protocols.messages.usage import usage_of
from sub2api.protocols.reading import decode_body, flag_of, limit_of, member, model_of, text


class _Body(msgspec.Struct):
    """The members the gateway needs; everything else passes unread."""

    model: Any = msgspec.UNSET
    stream: Any = msgspec.UNSET
    max_tokens: Any = msgspec.UNSET


class _Reply(msgspec.Struct):
    id: Any = ""
    model: Any = ""
    usage: Any = None


_body = msgspec.json.Decoder(_Body)
_reply = msgspec.json.Decoder(_Reply)


def peek(body: bytes, operation: Operation, path_model: str) -> Peek:
    """Read model, stream and output limit. Raises ClientError 400."""
    found = decode_body(_body, body)
    return Peek(
        model=model_of(body, found.model),
        stream=flag_of(found.stream, "stream") and operation is Operation.GENERATE,
        max_output=limit_of(found.max_tokens),
    )


def read_reply(body: bytes) -> ReplyFacts:
    """Read a whole reply."""
    try:
        reply = _reply.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ReplyFacts()
    received = member({"usage": reply.usage}, "usage")
    return ReplyFacts(
        usage=usage_of(received) if received else None,
        model=text(reply.model),
        response_id=text(reply.id),
    )


DIALECT = Dialect(
    wire=Wire.MESSAGES,
    peek=peek,
    open_stream=MessagesStream,
    read_reply=read_reply,
    rename_model=set_model,
    restore_model=set_model,
    refusal=refusal,
    error_event=error_event,
    keep_alive=KEEP_ALIVE,
)
