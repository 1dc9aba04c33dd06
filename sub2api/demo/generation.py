"""What one scripted answer consists of, before it is put on a wire."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sub2api.demo.script import Play


@dataclass(slots=True)
class Scene:
    """A request understood: what is asked, by whom, and what the script says."""

    wire: str
    model: str
    credential: str
    body: dict[str, Any]
    play: Play
    request_id: str
    stream: bool
    cached: bool = False
    """The credential sent the same beginning before."""
    as_array: bool = False
    """Gemini without `alt=sse`: a JSON array instead of events."""


@dataclass(slots=True)
class Event:
    """One event's bytes; `usage` is set when it carries usage, `words` counts generated text."""

    data: bytes
    usage: dict[str, Any] = field(default_factory=dict)
    words: int = 0


@dataclass(slots=True)
class Answer:
    """A whole reply and the same as a stream. `usage` is the final usage object."""

    whole: dict[str, Any]
    events: list[Event]
    usage: dict[str, Any]
    error: bytes
    """The vendor's error as one stream event."""


def encode(value: Any) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in a request, wherever its wire keeps it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item)
    elif isinstance(value, dict):
        for key in ("text", "content", "parts", "input", "output", "arguments", "thinking"):
            if key in value:
                yield from texts_of(value[key])


def tokens_in(value: Any) -> int:
    """Count a request's tokens: four characters are one."""
    return max(1, math.ceil(sum(len(text) for text in texts_of(value)) / 4))


def last_text(value: Any) -> str:
    """Return the last text of a conversation."""
    last = ""
    for last in texts_of(value):  # noqa: B007  only the last one counts
        pass
    return last


def words_for(scene: Scene, conversation: Any) -> list[str]:
    """Return the answer word by word."""
    if scene.play.text is not None:
        text = scene.play.text
    else:
        asked = " ".join(last_text(conversation).split()[:8])
        text = f'Hello from the scripted {scene.model}! You said: "{asked}". Nothing left here.'
    pieces = text.split(" ")
    words = [piece + " " for piece in pieces[:-1]] + pieces[-1:]
    if scene.play.huge:
        words.append("x" * scene.play.huge)
    return words


def wants_tool(conversation: Any, forced: bool) -> bool:
    """Whether a request that offers tools is to be answered with a tool call."""
    return forced or "use the tool" in last_text(conversation).lower()


def arguments_for(schema: Any) -> dict[str, Any]:
    """Return plausible arguments for a tool's JSON schema."""
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    samples = {"integer": 7, "number": 1.5, "boolean": True, "array": [], "object": {}}
    return {
        name: samples.get(str(spec.get("type", "string")).lower(), "Paris")
        for name, spec in properties.items()
        if isinstance(spec, dict)
    }
