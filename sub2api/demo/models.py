"""The scripted vendor's model lists."""

from __future__ import annotations

MODELS: dict[str, tuple[str, ...]] = {
    "messages": ("claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-5"),
    "openai": ("gpt-5.1", "gpt-5.1-codex", "gpt-5-mini", "text-embedding-3-small"),
    "gemini": ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-embedding-001"),
}
