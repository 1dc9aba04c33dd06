"""Whose address a call comes from."""

from __future__ import annotations

import pytest

from sub2api.gateway.client_address import client_address, networks_of

PROXIES = networks_of(["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "header", "expected"),
    [
        ("9.9.9.9", "1.1.1.1", "9.9.9.9"),
        ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.2.2.2", "1.1.1.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, nonsense", "10.0.0.1"),
        ("10.0.0.1", "10.3.3.3", "10.3.3.3"),
        ("::1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("unix", "1.1.1.1", "unix"),
    ],
)
def test_only_a_trusted_proxy_speaks_for_others(peer: str, header: str, expected: str) -> None:
    assert client_address(peer, header, PROXIES) == expected


def test_nobody_is_trusted_by_default() -> None:
    assert client_address("127.0.0.1", "1.1.1.1", ()) == "127.0.0.1"
