"""Watching a Chat Completions stream. Source: OpenAI's API reference (chat chunk object)."""

from __future__ import annotations

import re
from typing import Any

from sub2api.protocols.edits import replace_in_event
from sub2api.protocols.interface import StreamFacts, StreamOptions, StreamState
from sub2api.protocols.openai_usage import usage_of
from sub2api.protocols.reading import decode_object, member, text
from sub2api.protocols.sse import Event, edited, events

# Ordinary chunks say `"usage": null` and `"finish_reason": null`: that is no mark.
_MARKS = re.compile(rb'"(?:usage|finish_reason)"\s*:\s*[^n\s]|\[DONE\]|"error"')
_TOLD = (b'"usage":{', b'"usage": {', b'"finish_reason":"', b'"finish_reason": "')
_NULL = (b'"usage":null', b'"usage": null', b'"finish_reason":null', b'"finish_reason": null')
_WORDS = (*_TOLD, b"[DONE]", b'"error"')
"""The same marks as words, for blocks in which they are written in one of the usual ways."""


class ChatStream:
    """Reads chunks that carry usage, an end or an error; the rest passes unread.

    A stream whose finish reason was seen counts as finished even without `[DONE]`: some vendors
    end like that.
    """

    def __init__(self, options: StreamOptions) -> None:
        self.facts = StreamFacts()
        self._client_model = options.client_model
        self._drop_usage = options.drop_usage
        self._tier = ""

    def feed(self, block: bytes) -> bytes:
        """Take complete events (see `StreamReader`)."""
        facts = self.facts
        if not facts.response_id or self._client_model is not None or not _is_usual(block):
            return b"".join([self._event(event) for event in events(block)])
        if not facts.produced and b'"delta"' in block:
            facts.produced = True
        return edited(block, _WORDS, self._event)

    def _event(self, event: Event) -> bytes:
        if event.data == b"[DONE]":
            self._ended(StreamState.FINISHED)
            return event.raw
        if not event.data:
            return event.raw
        if self.facts.response_id and not _MARKS.search(event.raw):
            self.facts.produced = True
        else:
            chunk = decode_object(event.data)
            self._chunk(chunk)
            if self._drop_usage and _is_usage_only(chunk):
                return b""
        return self._shown(event)

    def _chunk(self, chunk: dict[str, Any]) -> None:
        facts = self.facts
        facts.response_id = facts.response_id or text(chunk.get("id")) or "-"
        facts.model = facts.model or text(chunk.get("model"))
        self._tier = text(chunk.get("service_tier")) or self._tier
        received = member(chunk, "usage")
        if received:
            facts.usage = usage_of(received, self._tier)
        if chunk.get("error"):
            facts.error = member(chunk, "error") or {"message": str(chunk["error"])[:500]}
            self._ended(StreamState.FAILED)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            facts.produced = True
            if isinstance(choice, dict) and choice.get("finish_reason"):
                self._ended(StreamState.FINISHED)

    def _shown(self, event: Event) -> bytes:
        if self._client_model is None or b'"model"' not in event.raw:
            return event.raw
        return replace_in_event(event, ("model",), self._client_model)

    def _ended(self, state: StreamState) -> None:
        if self.facts.state is StreamState.OPEN:
            self.facts.state = state


def _is_usual(block: bytes) -> bool:
    """Whether every usage and finish reason in it is written so that `_WORDS` finds it, or null."""
    there = block.count(b'"usage"') + block.count(b'"finish_reason"')
    return there == sum([block.count(word) for word in (*_TOLD, *_NULL)])


def _is_usage_only(chunk: dict[str, Any]) -> bool:
    return chunk.get("choices") == [] and bool(chunk.get("usage"))
