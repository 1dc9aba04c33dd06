"""The Responses wire, assembled."""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.model.routes import Operation, Wire
from sub2api.protocols.edits import set_model
from sub2api.protocols.interface import Dialect, Peek
from sub2api.protocols.openai_errors import KEEP_ALIVE, refusal
from sub2api.protocols.openai_replies import read_reply
from sub2api.protocols.reading import decode_body, flag_of, limit_of, model_of, text
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


_body = msgspec.json.Decoder(_Body)


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
