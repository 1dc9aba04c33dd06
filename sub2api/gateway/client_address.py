"""Whose address a call comes from: the peer's, unless a trusted proxy speaks for somebody else."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parse addresses and CIDR networks. Raises ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def client_address(peer: str, forwarded_for: str, trusted: tuple[Network, ...]) -> str:
    """Return the client's address.

    `X-Forwarded-For` counts only if the peer is trusted, read from the right: the first address
    that is not a trusted proxy's is the client's. Nobody else's header is believed.
    """
    if not trusted or not is_trusted(peer, trusted):
        return peer
    client = peer
    for text in reversed(forwarded_for.split(",")):
        address = text.strip()
        if not _is_address(address):
            break
        client = address
        if not is_trusted(address, trusted):
            break
    return client


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_trusted(text: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address lies in one of the networks."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)
