"""Watching a Responses stream. Source: OpenAI's API reference (streaming events)."""

from __future__ import annotations

from typing import Any

from sub2api.protocols.edits import replace_in_event
from sub2api.protocols.interface import StreamFacts, StreamOptions, StreamState
from sub2api.protocols.openai_usage import usage_of
from sub2api.protocols.reading import decode_object, member, text
from sub2api.protocols.sse import Event, edited

_WORDS = (b'"response"', b'"error"', b"event: error", b"event:error")
_OUTPUT_MARK = b"response.output"
_ENDS = {
    "response.completed": StreamState.FINISHED,
    "response.done": StreamState.FINISHED,
    "response.incomplete": StreamState.FINISHED,
    "response.failed": StreamState.FAILED,
    "error": StreamState.FAILED,
}


class ResponsesStream:
    """Reads the events that hold a response object, and errors; about sixty others pass unread."""

    def __init__(self, options: StreamOptions) -> None:
        self.facts = StreamFacts()
        self._client_model = options.client_model

    def feed(self, block: bytes) -> bytes:
        """Take complete events (see `StreamReader`)."""
        if not self.facts.produced and _OUTPUT_MARK in block:
            self.facts.produced = True
        return edited(block, _WORDS, self._event)

    def _event(self, event: Event) -> bytes:
        body = decode_object(event.data)
        kind = text(body.get("type")) or event.name.decode("latin-1")
        response = member(body, "response")
        self._response(response)
        state = _ENDS.get(kind)
        if state is not None and self.facts.state is StreamState.OPEN:
            self.facts.state = state
            if state is StreamState.FAILED:
                self.facts.error = member(response, "error") or member(body, "error") or body
        if self._client_model is None or not response:
            return event.raw
        return replace_in_event(event, ("response", "model"), self._client_model)

    def _response(self, response: dict[str, Any]) -> None:
        self.facts.response_id = self.facts.response_id or text(response.get("id"))
        self.facts.model = self.facts.model or text(response.get("model"))
        received = member(response, "usage")
        if received:
            self.facts.usage = usage_of(received, text(response.get("service_tier")))
