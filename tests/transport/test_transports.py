"""How transports end, and whether they are alive."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from sub2api.transport.transports import cause_of, is_cut, is_silent, read_before_end


@pytest.mark.parametrize(
    ("exc", "answering", "cause"),
    [
        (None, False, "reset"),
        (None, True, "truncated"),
        (ConnectionResetError(), False, "reset"),
        (ConnectionResetError(), True, "reset"),
        (ssl.SSLEOFError(), True, "truncated"),
        (ssl.SSLEOFError(), False, "reset"),
        (ssl.SSLError("bad record"), True, "tls"),
        (ssl.SSLError("certificate required"), False, "tls"),
    ],
)
def test_an_end_has_a_cause(exc: Exception | None, answering: bool, cause: str) -> None:
    assert cause_of(exc, answering=answering) == cause


def test_a_transport_without_socket_or_tls_is_taken_as_it_is() -> None:
    bare = asyncio.Transport()
    read_before_end(bare)
    assert is_silent(bare)
    assert not is_cut(bare)
