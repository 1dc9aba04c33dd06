"""Outgoing proxies: their addresses, and the handshakes that open a tunnel through one.

Sources: RFC 9110 9.3.6 (CONNECT), RFC 1928 (SOCKS5), RFC 1929 (its user name and password).
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from typing import cast
from urllib.parse import unquote, urlsplit

from sub2api.errors import MistakeError, TransportError
from sub2api.model.accounts import Proxy, ProxyProtocol
from sub2api.transport.url_guard import host_of, is_address

_PROTOCOLS: tuple[ProxyProtocol, ...] = ("http", "https", "socks5", "socks5h")
_DEFAULT_PORTS: dict[str, int] = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_ACCEPTED = (
    "Accepted are http://, https://, socks5:// and socks5h://[user:password@]host:port,"
    " with special characters of user and password percent-encoded"
)
_MOST_HEAD = 16384
_MOST_LOGIN = 255
"""Bytes that RFC 1929 has room for."""
_BOUND_LENGTHS = {1: 4, 4: 16, 3: 0}
"""Bytes of the bound address by its kind; a name (3) says its length itself."""
_SOCKS_REASONS = {
    1: "general failure", 2: "not allowed", 3: "network unreachable", 4: "host unreachable",
    5: "connection refused", 6: "TTL expired", 7: "command unsupported", 8: "address unsupported",
}  # fmt: skip


def parse_proxy(text: str, name: str = "") -> Proxy:
    """Parse `scheme://[user:password@]host[:port]`, user and password percent-encoded.

    Raises MistakeError, whose text never shows what was given: it may hold a password.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise MistakeError(f"The proxy URL cannot be parsed. {_ACCEPTED}.") from None
    protocol = next((each for each in _PROTOCOLS if each == parts.scheme), None)
    host = host_of(parts.hostname)
    if protocol is None or not host or port == 0 or _has_more(text):
        raise MistakeError(f"The proxy URL is not valid. {_ACCEPTED}.")
    username, password = _login(parts.username or "", parts.password or "")
    return Proxy(
        id=0,
        name=name or host,
        protocol=protocol,
        host=host,
        port=port or _DEFAULT_PORTS[protocol],
        username=username,
        password=password,
    )


def _has_more(text: str) -> bool:
    """Whether something follows the address (a path, a query), or spaces are within."""
    whole = text.strip()
    address = whole.partition("://")[2].rpartition("@")[2].removesuffix("/")
    return not is_address(address) or any(ord(each) <= 32 for each in whole)


def _login(username: str, password: str) -> tuple[str | None, str | None]:
    name, secret = unquote(username), unquote(password)
    if not name and not secret:
        return None, None
    both = name + secret
    controls = any(ord(character) < 32 or ord(character) == 127 for character in both)
    if not name or controls or max(len(name.encode()), len(secret.encode())) > _MOST_LOGIN:
        raise MistakeError(f"The proxy's user name or password is not usable. {_ACCEPTED}.")
    return name, secret


def basic_credentials(proxy: Proxy) -> bytes | None:
    """Return the value of `proxy-authorization`, None for an open proxy."""
    if proxy.username is None:
        return None
    pair = f"{proxy.username}:{proxy.password or ''}".encode()
    return b"Basic " + base64.b64encode(pair)


class Tunnel(asyncio.Protocol):
    """The protocol of a connection to a proxy until its handshake is done.

    `transport` is there once asyncio has made the connection.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Collect handshake bytes."""
        self._buffer += data
        if len(self._buffer) > _MOST_HEAD:
            self.transport.abort()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The proxy hung up."""
        self._lost = True
        self._wake()

    def write(self, data: bytes) -> None:
        """Send handshake bytes."""
        self.transport.write(data)

    async def take(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        while len(self._buffer) < size:
            await self._more()
        return self._cut(size)

    async def take_head(self) -> bytes:
        """Return the bytes up to and including an empty line."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self._more()
        return self._cut(end + 4)

    def check_silent(self) -> None:
        """Raise TransportError if the proxy hung up or said more than its handshake.

        The upstream cannot have spoken yet: it was asked nothing.
        """
        if self._buffer:
            raise refused("it spoke out of turn")
        if self._lost:
            raise refused("it closed the connection")

    def _cut(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _more(self) -> None:
        if self._lost:
            raise refused("it closed the connection")
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def refused(reason: str) -> TransportError:
    """Return the error of a proxy that cannot be used; the call never goes direct instead."""
    return TransportError(f"the proxy cannot be used: {reason}", cause="proxy", sent=False)


async def connect(tunnel: Tunnel, proxy: Proxy, host: str, port: int) -> None:
    """Open a tunnel through an HTTP(S) proxy."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n".encode()
    credentials = basic_credentials(proxy)
    if credentials is not None:
        head += b"proxy-authorization: " + credentials + b"\r\n"
    tunnel.write(head + b"\r\n")
    reply = (await tunnel.take_head()).split(b"\r\n", 1)[0].split(b" ", 2)
    status = reply[1] if len(reply) > 1 else b""
    if not reply[0].startswith(b"HTTP/1.") or len(status) != 3 or not status.isdigit():
        raise refused("it does not speak HTTP")
    if not status.startswith(b"2"):
        raise refused(f"it answered {status.decode()} to CONNECT")


async def socks5(tunnel: Tunnel, proxy: Proxy, host: str, port: int) -> None:
    """Open a tunnel through a SOCKS5 proxy; `host` may be a name (socks5h) or an address."""
    methods = b"\x00\x02" if proxy.username is not None else b"\x00"
    tunnel.write(b"\x05" + bytes([len(methods)]) + methods)
    version, method = await tunnel.take(2)
    if version != 5:
        raise refused("it does not speak SOCKS5")
    if method == 2 and proxy.username is not None:
        await _authenticate(tunnel, proxy)
    elif method != 0:
        raise refused("it wants another authentication")
    tunnel.write(b"\x05\x01\x00" + _socks_address(host) + port.to_bytes(2, "big"))
    version, status, _, kind = await tunnel.take(4)
    if status != 0:
        raise refused(_SOCKS_REASONS.get(status, f"error {status}"))
    if version != 5 or kind not in _BOUND_LENGTHS:
        raise refused("it does not speak SOCKS5")
    length = _BOUND_LENGTHS[kind] or (await tunnel.take(1))[0]
    await tunnel.take(length + 2)


async def _authenticate(tunnel: Tunnel, proxy: Proxy) -> None:
    name, password = (proxy.username or "").encode(), (proxy.password or "").encode()
    tunnel.write(b"\x01" + bytes([len(name)]) + name + bytes([len(password)]) + password)
    _, status = await tunnel.take(2)
    if status != 0:
        raise refused("it refused the user name or password")


def _socks_address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        return b"\x03" + bytes([len(name)]) + name
    kind = b"\x01" if address.version == 4 else b"\x04"
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return kind + socket.inet_pton(family, str(address))
