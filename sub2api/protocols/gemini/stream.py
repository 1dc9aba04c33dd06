"""Watching a Gemini stream. Source: Google's Gemini API reference (GenerateContentResponse)."""

from __future__ import annotations

from typing import Any

from sub2api.protocols.edits import replace_in_event
from sub2api.protocols.gemini.usage import usage_of
from sub2api.protocols.interface import StreamFacts, StreamOptions, StreamState
from sub2api.protocols.reading import decode_object, member, text
from sub2api.protocols.sse import Event, events


class GeminiStream:
    """Reads every chunk: each carries usage, the last one a finish reason."""

    def __init__(self, options: StreamOptions) -> None:
        self.facts = StreamFacts()
        self._client_model = options.client_model

    def feed(self, block: bytes) -> bytes:
        """Take complete events (see `StreamReader`)."""
        return b"".join([self._event(event) for event in events(block)])

    def _event(self, event: Event) -> bytes:
        if not event.data:
            return event.raw
        chunk = _chunk_of(event.data)
        self._read(chunk)
        if self._client_model is None or b'"modelVersion"' not in event.raw:
            return event.raw
        return replace_in_event(event, ("modelVersion",), self._client_model)

    def _read(self, chunk: dict[str, Any]) -> None:
        facts = self.facts
        facts.response_id = facts.response_id or text(chunk.get("responseId"))
        facts.model = facts.model or text(chunk.get("modelVersion"))
        received = member(chunk, "usageMetadata")
        if received:
            facts.usage = usage_of(received)
        if chunk.get("error"):
            facts.error = member(chunk, "error")
            self._ended(StreamState.FAILED)
        if member(chunk, "promptFeedback").get("blockReason"):
            self._ended(StreamState.FINISHED)
        candidates = chunk.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else []:
            facts.produced = True
            if isinstance(candidate, dict) and candidate.get("finishReason"):
                self._ended(StreamState.FINISHED)

    def _ended(self, state: StreamState) -> None:
        if self.facts.state is StreamState.OPEN:
            self.facts.state = state


def _chunk_of(data: bytes) -> dict[str, Any]:
    """Decode a chunk; an error may come as a list of one."""
    if data.lstrip()[:1] == b"[":
        data = data.strip()[1:-1]
    return decode_object(data)
