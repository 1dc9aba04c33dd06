"""What a client can ask for: the wires, and the operations on them."""

from __future__ import annotations

from enum import StrEnum


class Wire(StrEnum):
    """The protocol a client speaks on a route; decides how refusals look."""

    MESSAGES = "messages"
    RESPONSES = "responses"
    CHAT = "chat"
    GEMINI = "gemini"


class Operation(StrEnum):
    """What a route does with its body."""

    GENERATE = "generate"
    COUNT_TOKENS = "count_tokens"
    EMBED = "embed"
    COMPACT = "compact"
    MODELS = "models"
    USAGE = "usage"
