"""Open connections: resolve, judge, connect, pass a proxy, speak TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from itertools import chain, zip_longest
from pathlib import Path

from sub2api.errors import TransportError
from sub2api.model.accounts import Proxy
from sub2api.transport import proxies
from sub2api.transport.connection import Connection
from sub2api.transport.encoding import is_forwarded
from sub2api.transport.transports import read_before_end
from sub2api.transport.url_guard import Guard, ParsedUrl, literal_of

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Gives a name's addresses, best first. Raises OSError when there are none."""
_MOST_ADDRESSES = 4
_KEEP_ALIVE = (("TCP_KEEPIDLE", 45), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
"""Seconds: a model may think for ten minutes, and routers forget silent connections sooner."""
_RECEIVE_BUFFER = 128 << 10
"""Bytes a vendor may send ahead while a client reads slowly. The kernel's own choice grows to
several MB for each, and a few hundred slow readers exhaust its memory for everybody."""


async def system_resolver(host: str, port: int) -> list[str]:
    """Return a name's addresses, in the system's order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Dialer:
    """Makes connections. `tls` verifies certificates; None means by the machine's authorities."""

    def __init__(
        self, guard: Guard, tls: ssl.SSLContext | None = None, resolve: Resolver = system_resolver
    ) -> None:
        self._guard = guard
        self._tls = tls
        self._resolve = resolve

    async def dial(
        self, url: ParsedUrl, proxy: Proxy | None, connection: Connection, patience: float
    ) -> None:
        """Connect to a URL's host and attach `connection`. Raises TransportError.

        A proxy that fails is an error; the connection never goes direct instead. `patience` is
        the whole deadline in seconds (0 = none): the caller applies it, here it is divided among
        addresses so that a dead one leaves time for the next.
        """
        self._guard.admit(url)
        if proxy is not None:
            await self._through(url, proxy, connection, patience)
            return
        addresses = await self._addresses(url.host, url.port, "dns")
        for address in addresses:
            self._guard.judge(url, address)
        raw = await _reach(addresses, url.port, patience)
        await self._attach(raw, connection, url.host if url.scheme == "https" else None)

    async def _addresses(self, host: str, port: int, cause: str) -> list[str]:
        literal = literal_of(host)
        if literal is not None:
            return [str(literal)]
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError):
            found = []
        if not found:
            raise TransportError(f"{host} cannot be resolved", cause=cause, sent=False)
        return found

    async def _attach(
        self, raw: socket.socket, protocol: asyncio.BaseProtocol, tls_name: str | None
    ) -> None:
        """Give a connected socket to a protocol, over TLS if there is a name to verify."""
        try:
            context = await self._context() if tls_name is not None else None
        except BaseException:
            raw.close()
            raise
        try:
            # From here on the socket belongs to the transport, which closes it on failure.
            await asyncio.get_running_loop().create_connection(
                lambda: protocol, sock=raw, ssl=context, server_hostname=tls_name
            )
        except OSError as error:
            raise _tls_error(error) from None

    async def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            # Reading the machine's authorities takes 50 ms: not on the loop.
            self._tls = await asyncio.to_thread(default_context)
        return self._tls

    async def _through(
        self, url: ParsedUrl, proxy: Proxy, connection: Connection, patience: float
    ) -> None:
        if proxy.status != "active":
            raise proxies.refused("it is disabled")
        if is_forwarded(url, proxy):
            await self._to_proxy(proxy, connection, patience)
            return
        tunnel = proxies.Tunnel()
        await self._to_proxy(proxy, tunnel, patience)
        transport = tunnel.transport
        read_before_end(transport)
        try:
            await self._handshake(tunnel, url, proxy)
            tunnel.check_silent()
            await self._take_over(transport, url, connection)
        except BaseException:
            transport.abort()
            raise

    async def _to_proxy(
        self, proxy: Proxy, protocol: asyncio.BaseProtocol, patience: float
    ) -> None:
        try:
            addresses = await self._addresses(proxy.host, proxy.port, "proxy")
            raw = await _reach(addresses, proxy.port, patience)
            await self._attach(raw, protocol, proxy.host if proxy.protocol == "https" else None)
        except TransportError as error:
            raise proxies.refused(str(error)) from None

    async def _handshake(self, tunnel: proxies.Tunnel, url: ParsedUrl, proxy: Proxy) -> None:
        if proxy.protocol in {"http", "https"}:
            await proxies.connect(tunnel, proxy, url.host, url.port)
            return
        host = url.host
        if proxy.protocol == "socks5":  # names are resolved here; socks5h leaves it to the proxy
            host = (await self._addresses(host, url.port, "dns"))[0]
            self._guard.judge_tunnelled(url, host)
        await proxies.socks5(tunnel, proxy, host, url.port)

    async def _take_over(
        self, transport: asyncio.Transport, url: ParsedUrl, connection: Connection
    ) -> None:
        """Put the connection in the place of a tunnel's handshake."""
        if url.scheme == "http":
            transport.pause_reading()
            transport.set_protocol(connection)
            connection.connection_made(transport)
            transport.resume_reading()
            return
        context = await self._context()
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, connection, context, server_hostname=url.host
            )
        except OSError as error:
            raise _tls_error(error) from None
        if secured is None:  # how asyncio tells that the peer hung up in between
            raise _tls_error(None)
        connection.connection_made(secured)


async def _reach(addresses: list[str], port: int, patience: float) -> socket.socket:
    """Return a socket connected to the first address that answers."""
    chosen = _in_turn(addresses)
    share = patience / len(chosen) if patience > 0 else None
    cause = "connect_refused"
    for address in chosen:
        last = address is chosen[-1]
        try:
            async with asyncio.timeout(None if last else share):
                return await _connected(address, port)
        except TimeoutError:
            cause = "connect_timeout"
        except OSError:
            cause = "connect_refused"
    raise TransportError("no connection could be made", cause=cause, sent=False)


def _in_turn(addresses: list[str]) -> list[str]:
    """Return a few addresses, both families in turn: one of them may lead nowhere."""
    preferred = ":" in addresses[0]
    ours = [each for each in addresses if (":" in each) == preferred]
    others = [each for each in addresses if (":" in each) != preferred]
    mixed = chain.from_iterable(zip_longest(ours, others))
    return [each for each in mixed if each is not None][:_MOST_ADDRESSES]


async def _connected(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    raw = socket.socket(family, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        for option, value in _KEEP_ALIVE:
            if hasattr(socket, option):
                raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        await asyncio.get_running_loop().sock_connect(raw, (address, port))
    except BaseException:
        raw.close()
        raise
    return raw


def default_context() -> ssl.SSLContext:
    """Return TLS settings that trust the machine's authorities; where it has none, certifi's.

    Small container images come without any, and every call would fail.
    """
    context = ssl.create_default_context()
    file, folder, *_ = ssl.get_default_verify_paths()
    if not file and not (folder and any(Path(folder).iterdir())):
        import certifi

        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


def _tls_error(error: Exception | None) -> TransportError:
    reason = "the peer hung up"
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message
    elif isinstance(error, ssl.SSLError):
        reason = error.reason or "unknown reason"
    return TransportError(f"the TLS handshake failed: {reason}", cause="tls", sent=False)
