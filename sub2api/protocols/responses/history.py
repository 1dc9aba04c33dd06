"""What a Responses call relies on that only its vendor has: earlier turns, and items by reference.

Source: OpenAI's API reference (create a model response) and the platform's own rules on tool
outputs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sub2api.protocols.json_splice import set_top_level
from sub2api.protocols.reading import invalid, text

_NEEDS_CALL_ID = (
    "function_call_output requires call_id or previous_response_id; if the history is not stored "
    "upstream, send the function_call item with its call_id along"
)
_NEEDS_REFERENCE = (
    "function_call_output requires item_reference ids matching each call_id, or "
    "previous_response_id, or the function_call items themselves"
)


class _Item(msgspec.Struct):
    type: Any = None
    call_id: Any = None
    id: Any = None


class _Body(msgspec.Struct):
    previous_response_id: Any = None
    conversation: Any = None
    store: Any = msgspec.UNSET


_items = msgspec.json.Decoder(list[_Item])
_decoder = msgspec.json.Decoder(_Body)


def keep_history(body: bytes) -> bytes:
    """Return the body with `store: true` if it continues a stored history and does not say.

    A chain whose middle was not stored could not be continued. A client's own `store: false` is
    its decision on what the vendor may keep, and stays.
    """
    found = _decoder.decode(body)
    if found.store is not msgspec.UNSET and found.store is not None:
        return body
    if not text(found.previous_response_id) and not conversation_of(found.conversation):
        return body
    return set_top_level(body, "store", b"true")


def conversation_of(value: Any) -> str:
    """Return a conversation's id, given as a string or as `{"id": ...}`."""
    if isinstance(value, dict):
        value = value.get("id")
    return text(value)


def check_tool_outputs(raw_input: bytes) -> None:
    """Check that every tool output can be matched to its call, in a body without upstream history.

    Raises ClientError 400.
    """
    if b"function_call_output" not in raw_input:
        return
    try:
        items = _items.decode(raw_input)
    except msgspec.DecodeError:
        return  # a string, or shapes the vendor judges
    outputs = [item for item in items if item.type == "function_call_output"]
    calls = [item for item in items if item.type in {"function_call", "tool_call"}]
    if not outputs or any(_is_text(call.call_id) for call in calls):
        return
    if not all(_is_text(output.call_id) for output in outputs):
        raise invalid(_NEEDS_CALL_ID, "input")
    references = {item.id for item in items if item.type == "item_reference" and _is_text(item.id)}
    if not all(output.call_id in references for output in outputs):
        raise invalid(_NEEDS_REFERENCE, "input")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
