"""The edits that several wires share: one string in an event, the model of a body."""

from __future__ import annotations

from sub2api.protocols.json_splice import replace_string
from sub2api.protocols.sse import Event


def replace_in_event(event: Event, path: tuple[str, ...], new: str) -> bytes:
    """Return the event with one string of its (single-line) data replaced, all else untouched."""
    at = event.raw.find(event.data)
    if at < 0:
        return event.raw  # several data lines: no vendor writes JSON like that
    edited = replace_string(event.data, path, new)
    return event.raw[:at] + edited + event.raw[at + len(event.data) :]


def set_model(body: bytes, name: str) -> bytes:
    """Return a request or reply with another model name, every other byte untouched."""
    return replace_string(body, ("model",), name)
