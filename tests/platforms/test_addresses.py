"""Base URLs in all the forms that people give them."""

from __future__ import annotations

import pytest

from sub2api.platforms.addresses import join, safe_query


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://h", "https://h/v1/messages"),
        ("https://h/", "https://h/v1/messages"),
        ("https://h/v1", "https://h/v1/messages"),
        ("https://h/v1/", "https://h/v1/messages"),
        ("https://h/anthropic", "https://h/anthropic/v1/messages"),
        ("https://h/api/paas/v4", "https://h/api/paas/v4/messages"),
        ("https://h/v1beta/openai/", "https://h/v1beta/openai/messages"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434/v1/messages"),
    ],
)
def test_the_version_is_there_exactly_once(base: str, expected: str) -> None:
    assert join(base, "v1", "messages") == expected


def test_credentials_in_the_query_stay_here() -> None:
    assert safe_query(b"beta=true&key=sk-1&Api_Key=2&alt=sse") == "?beta=true&alt=sse"
    assert safe_query(b"key=sk-1") == ""
    assert safe_query(b"") == ""
    assert safe_query(b"a=%26&b=") == "?a=%26&b="
