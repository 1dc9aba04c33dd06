"""What an asyncio transport does not say by itself: how alive it is, and how it ended."""

from __future__ import annotations

import asyncio
import select
import ssl


def is_silent(transport: asyncio.BaseTransport) -> bool:
    """Whether nothing, not even an end, waits to be read from a transport's socket.

    The loop may not have come round yet to an end that the kernel already knows of.
    """
    raw = transport.get_extra_info("socket")
    if raw is None or not hasattr(select, "poll"):
        return True
    poller = select.poll()
    poller.register(raw.fileno(), select.POLLIN)
    return not poller.poll(0)


def read_before_end(transport: asyncio.BaseTransport) -> None:
    """Make a TLS transport deliver all that it has received before it looks for more.

    asyncio and uvloop, at the end of a stream, decrypt one buffer's worth and drop the rest.
    With this limit they receive nothing, hence no end, before everything is decrypted.
    """
    set_limits = getattr(transport, "set_read_buffer_limits", None)
    if set_limits is not None:
        set_limits(high=1, low=0)


def is_cut(transport: asyncio.BaseTransport) -> bool:
    """Whether a TLS stream that ended did so without its closing alert.

    Anybody on the way can do that; a body that only the end of its connection delimits is
    incomplete then (RFC 9112 9.8).
    """
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return False
    try:
        return bool(tls.read(1))
    except ssl.SSLError:  # it wants more: there was no alert
        return True


def cause_of(exc: Exception | None, *, answering: bool) -> str:
    """Name, as in TransportError, the way a connection went down during an exchange."""
    if isinstance(exc, ssl.SSLEOFError):
        exc = None
    if isinstance(exc, ssl.SSLError):
        return "tls"
    return "reset" if exc is not None or not answering else "truncated"
