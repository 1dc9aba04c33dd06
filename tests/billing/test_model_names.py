from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub2api.billing.model_names import candidates_of


@pytest.mark.parametrize(
    ("asked", "listed"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("Claude-Sonnet-4-5 ", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20991231", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5@default", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5[1m]", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929-thinking[1m]", "claude-sonnet-4-5"),
        ("claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("gpt-5.1-2025-11-13", "gpt-5.1"),
        ("gpt-5-1", "gpt-5.1"),
        ("gpt-5.1-xhigh", "gpt-5.1"),
        ("gpt-5.1-codex-high", "gpt-5.1-codex"),
        ("gpt-5.1-chat", "gpt-5.1-chat-latest"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("publishers/google/models/gemini-2.5-flash-001", "gemini-2.5-flash"),
        ("gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
        ("models/google/gemini-2.5-flash-exp", "gemini-2.5-flash"),
    ],
)
def test_a_spelling_leads_to_the_listed_name(asked: str, listed: str) -> None:
    assert listed in candidates_of(asked)


@pytest.mark.parametrize(
    ("asked", "sibling"),
    [
        ("claude-opus-4-5x", "claude-opus-4"),
        ("claude-opus-4-5", "claude-opus-4"),
        ("claude-opus-4-5-20251101", "claude-opus-4"),
        ("gpt-5-nano", "gpt-5"),
        ("gpt-5.1-mini", "gpt-5.1"),
        ("gpt-5.1-codex-foo", "gpt-5.1-codex"),
        ("gpt-5.1", "gpt-5"),
        ("o1-pro", "o1"),
        ("o3-deep-research", "o3"),
        ("gemini-2.5-flash-lite", "gemini-2.5-flash"),
        ("gemini-2.5-flash-image", "gemini-2.5-flash"),
        ("grok-4-fast", "grok-4"),
        ("gemma-3-4b", "gemma-3.4b"),
        ("deepseek-ai/deepseek-v3", "deepseek-v3"),
        ("gpt-4-1106-preview", "gpt-4"),
    ],
)
def test_a_name_never_leads_to_a_sibling(asked: str, sibling: str) -> None:
    assert sibling not in candidates_of(asked)


def test_the_more_specific_name_comes_first() -> None:
    names = candidates_of("openai/gpt-5.1-codex-2025-11-13-high")
    order = [
        "openai/gpt-5.1-codex-2025-11-13-high",
        "gpt-5.1-codex-2025-11-13-high",
        "gpt-5.1-codex-2025-11-13",
        "gpt-5.1-codex",
    ]
    assert [name for name in names if name in order] == order


def test_a_name_that_is_only_an_ending_is_not_taken_apart() -> None:
    assert "" not in candidates_of("-latest")


def test_an_overlong_name_is_not_looked_at() -> None:
    assert candidates_of("a" * 257) == ()
    assert candidates_of("a" * 256)


@given(st.text(max_size=300))
def test_any_text_gives_few_and_distinct_candidates(text: str) -> None:
    names = candidates_of(text)
    assert len(names) == len(set(names)) <= 300
    assert all(name == name.lower() for name in names)
