"""Anthropic usage objects, as they should be and as they come."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub2api.model.tokens import Tokens
from sub2api.protocols.messages.usage import usage_of

NAMES = (
    "input_tokens", "output_tokens", "cache_read_input_tokens", "cached_tokens",
    "cache_creation_input_tokens", "cache_creation", "output_tokens_details", "server_tool_use",
    "speed", "service_tier",
)  # fmt: skip
INNER = (
    "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "thinking_tokens",
    "web_search_requests",
)  # fmt: skip
odd = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = odd | st.dictionaries(st.sampled_from(INNER), odd) | st.lists(odd, max_size=2)


@pytest.mark.parametrize(
    ("received", "tokens"),
    [
        ({"input_tokens": 3, "output_tokens": 4}, Tokens(3, 4)),
        ({"input_tokens": None, "output_tokens": 4, "server_tool_use": None}, Tokens(0, 4)),
        ({"input_tokens": -1, "output_tokens": 4.9}, Tokens(0, 4)),
        ({"input_tokens": "3", "output_tokens": True}, Tokens()),
        ({"input_tokens": 2**60, "output_tokens": float("nan")}, Tokens(2**53)),
        ({"cache_read_input_tokens": 0, "cached_tokens": 5}, Tokens(cache_read=5)),
        ({"cache_creation_input_tokens": 7}, Tokens(cache_write=7)),
        (
            {
                "cache_creation_input_tokens": 7,
                "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 2},
            },
            Tokens(cache_write=5, cache_write_long=2),
        ),
        (
            {
                "cache_creation_input_tokens": 7,
                "cache_creation": {
                    "ephemeral_1h_input_tokens": 2,
                    "ephemeral_5m_input_tokens": "x",
                },
            },
            Tokens(cache_write=5, cache_write_long=2),
        ),
        ({"cache_creation": [], "output_tokens_details": 3}, Tokens()),
        (
            {
                "output_tokens_details": {"thinking_tokens": 9},
                "server_tool_use": {"web_search_requests": 2},
            },
            Tokens(reasoning=9, web_searches=2),
        ),
        ({"service_tier": "standard"}, Tokens()),
        ({"service_tier": "priority"}, Tokens(service_tier="priority")),
        ({"service_tier": "batch", "speed": "fast"}, Tokens(service_tier="fast")),
        ({"service_tier": 7, "speed": "slow"}, Tokens()),
        ({"service_tier": "t" * 99}, Tokens(service_tier="t" * 40)),
    ],
)
def test_usage_is_read_as_far_as_it_makes_sense(received: dict[str, Any], tokens: Tokens) -> None:
    usage = usage_of(received)
    assert usage.tokens == tokens
    assert usage.received is received


@given(st.dictionaries(st.sampled_from(NAMES), anything))
def test_no_usage_object_breaks_the_reading_or_counts_below_nothing(
    received: dict[str, Any],
) -> None:
    found = msgspec.structs.asdict(usage_of(received).tokens)
    tier = found.pop("service_tier")
    assert isinstance(tier, str)
    assert all(isinstance(value, int) and value >= 0 for value in found.values())
