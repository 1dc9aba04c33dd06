"""One refusal, read once."""

from __future__ import annotations

import pytest

from sub2api.platforms.refusal import masked, message_in, read


@pytest.mark.parametrize("name", ["key", "client_secret", "access_token", "refresh_token"])
def test_secrets_in_a_message_are_masked(name: str) -> None:
    assert masked(f"refused: {name}=abc123&x=1 {name}='q'") == f"refused: {name}=***&x=1 {name}='q'"


def test_keys_of_vendors_are_masked_wherever_they_stand() -> None:
    assert masked("bad sk-ant-api03-aaaaaaaa.") == "bad ***."
    assert masked("bad AIzaSyAAAAAAAAAAAA") == "bad ***"


def test_a_detail_is_one_printable_line() -> None:
    assert masked("a\x00b\nc\x1b[31m") == "a b c [31m"


def test_a_message_has_at_most_512_characters() -> None:
    assert len(masked("x" * 9000)) == 512


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"m"}}', "m"), (b'{"error":"m"}', "m"), (b'{"message":"m"}', "m"),
        (b'{"detail":"m"}', "m"), (b'[{"error":{"message":"m"}}]', "m"),
        (b'{"error":{"message":"{\\"error\\":{\\"message\\":\\"m\\"}}"}}', "m"),
        (b"oops", ""), (b"", ""), (b"[]", ""), (b'{"error":{"message":7}}', ""),
    ],
)  # fmt: skip
def test_the_message_is_found_in_every_vendors_shape(body: bytes, message: str) -> None:
    assert message_in(body) == message


def test_a_web_page_is_known_by_its_type_or_its_start() -> None:
    assert read(403, [], b"\n<!DOCTYPE html><p>no", 0.0).is_page
    assert read(403, [(b"content-type", b"text/html")], b"no", 0.0).is_page
    assert not read(403, [(b"content-type", b"text/html")], b'{"error":{"type":"x"}}', 0.0).is_page
