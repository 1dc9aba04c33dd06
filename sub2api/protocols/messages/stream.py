"""Watching a Messages stream. Source: Anthropic's API reference (streaming messages)."""

from __future__ import annotations

from typing import Any

from sub2api.protocols.edits import replace_in_event
from sub2api.protocols.interface import StreamFacts, StreamOptions, StreamState
from sub2api.protocols.messages.usage import merged, usage_of
from sub2api.protocols.reading import decode_object, member, text
from sub2api.protocols.sse import Event, edited

_WORDS = (b"message_", b"error")


class MessagesStream:
    """Reads message starts, deltas, stops and errors; the rest passes unread."""

    def __init__(self, options: StreamOptions) -> None:
        self.facts = StreamFacts()
        self._client_model = options.client_model
        self._usage: dict[str, Any] = {}

    def feed(self, block: bytes) -> bytes:
        """Take complete events (see `StreamReader`)."""
        if not self.facts.produced and b"content_block" in block:
            self.facts.produced = True
        return edited(block, _WORDS, self._event)

    def _event(self, event: Event) -> bytes:
        body = decode_object(event.data)
        match body.get("type"):
            case "message_start":
                return self._start(event, member(body, "message"))
            case "message_delta":
                self._saw_usage(member(body, "usage"))
            case "message_stop":
                self._ended(StreamState.FINISHED)
            case "error":
                self.facts.error = member(body, "error")
                self._ended(StreamState.FAILED)
            case _:
                pass
        return event.raw

    def _start(self, event: Event, message: dict[str, Any]) -> bytes:
        self.facts.response_id = text(message.get("id"))
        self.facts.model = text(message.get("model"))
        self._saw_usage(member(message, "usage"))
        if self._client_model is None:
            return event.raw
        return replace_in_event(event, ("message", "model"), self._client_model)

    def _saw_usage(self, received: dict[str, Any]) -> None:
        if received:
            self._usage = merged(self._usage, received)
            self.facts.usage = usage_of(self._usage)

    def _ended(self, state: StreamState) -> None:
        if self.facts.state is StreamState.OPEN:
            self.facts.state = state
