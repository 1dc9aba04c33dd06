"""The Responses wire, assembled."""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.model.routes import Operation, Wire
from sub2api.protocols.interface import Dialect, Peek, ReplyFacts
from sub2api.protocols.json_splice import replace_string
from sub2api.protocols.openai_errors import KEEP_ALIVE, refusal
from sub2api.protocols.openai_usage import usage_of
from sub2api.protocols.reading import decode_body, flag_of, limit_of, member, model_of, text
from sub2api.protocols.responses.errors import error_event
from sub2api.protocols.responses.history import check_tool_outputs, conversation_of
from sub2api.protocols.responses.stream import ResponsesStream


class _Body(msgspec.Struct):
    """The members the gateway needs; everything else passes unread."""

    model: Any = msgspec.UNSET
    stream: Any = msgspec.UNSET
    max_output_tokens: Any = msgspec.UNSET
    previous_response_id: Any = None
    conversation: Any = None
    store: Any = None
    input: msgspec.Raw = msgspec.Raw()


class _Reply(msgspec.Struct):
    id: Any = ""
    model: Any = ""
    usage: Any = None
    service_tier: Any = ""


_body = msgspec.json.Decoder(_Body)
_reply = msgspec.json.Decoder(_Reply)


def peek(body: bytes, operation: Operation, path_model: str) -> Peek:
    """Read model, stream, output limit and what the call is bound to. Raises ClientError 400."""
    found = decode_body(_body, body)
    model = model_of(body, found.model)
    previous = text(found.previous_response_id).strip()
    conversation = conversation_of(found.conversation)
    if not previous:
        check_tool_outputs(bytes(found.input))
    return Peek(
        model=model,
        stream=flag_of(found.stream, "stream") and operation is Operation.GENERATE,
        max_output=limit_of(found.max_output_tokens),
        bound_ids=tuple(name for name in (previous, conversation) if name),
        stores=found.store is not False,
    )


def read_reply(body: bytes) -> ReplyFacts:
    """Read a whole reply."""
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
    wire=Wire.RESPONSES,
    peek=peek,
    open_stream=ResponsesStream,
    read_reply=read_reply,
    rename_model=set_model,
    restore_model=set_model,
    refusal=refusal,
    error_event=error_event,
    keep_alive=KEEP_ALIVE,
)
