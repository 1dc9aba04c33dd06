"""Opening connections: resolve, judge, connect, pass a proxy, speak TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from sub2api.errors import TransportError
from sub2api.model.accounts import Proxy
from sub2api.transport import proxies
from sub2api.transport.connection import Connection
from sub2api.transport.url_guard import Guard, ParsedUrl, literal_of

Resolver = Callable[[str, int], Awaitable[list[str]]]


async def system_resolver(host: str, port: int) -> list[str]:
    """Return a name's addresses, in the system's order."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(slots=True)
class Dialer:
    """Makes connections. `authorities` verify certificates; None means the machine's own."""

    guard: Guard
    authorities: ssl.SSLContext | None = None
    resolve: Resolver = system_resolver

    @property
    def tls(self) -> ssl.SSLContext:
        """The TLS settings; loading the machine's authorities takes 50 ms, so only when needed."""
        if self.authorities is None:
            self.authorities = ssl.create_default_context()
        return self.authorities

    async def dial(self, url: ParsedUrl, proxy: Proxy | None, connection: Connection) -> None:
        """Connect to a URL's host and attach `connection`. Raises TransportError.

        A proxy that fails is an error; the connection never goes direct instead.
        """
        self.guard.admit(url)
        if proxy is not None:
            await self._through(url, proxy, connection)
            return
        name = url.host if url.scheme == "https" else None
        context = self.tls if name is not None else None
        failure: TransportError | None = None
        for address in await self._addresses(url.host, url.port, "dns"):
            self.guard.judge(url, address)
            try:
                await _connect(partial(_same, connection), address, url.port, (context, name))
            except TransportError as error:
                failure = error
            else:
                return
        raise failure or TransportError("the name has no address", cause="dns", sent=False)

    async def _addresses(self, host: str, port: int, cause: str) -> list[str]:
        literal = literal_of(host)
        if literal is not None:
            return [str(literal)]
        try:
            return await self.resolve(host, port)
        except OSError:
            raise TransportError(f"{host} cannot be resolved", cause=cause, sent=False) from None

    async def _through(self, url: ParsedUrl, proxy: Proxy, connection: Connection) -> None:
        tunnel = await self._to_proxy(proxy)
        transport = tunnel.transport
        if transport is None:
            raise proxies.refused("it closed the connection")
        try:
            await self._handshake(tunnel, url, proxy)
            tunnel.check_silent()
            await self._attach(transport, url, connection)
        except BaseException:
            transport.abort()
            raise

    async def _to_proxy(self, proxy: Proxy) -> proxies.Tunnel:
        secure = proxy.protocol == "https"
        tls = (self.tls, proxy.host) if secure else (None, None)
        reason = "it has no address"
        for address in await self._addresses(proxy.host, proxy.port, "proxy"):
            tunnel = proxies.Tunnel()
            try:
                await _connect(partial(_same, tunnel), address, proxy.port, tls)
            except TransportError as error:
                reason = str(error)
            else:
                return tunnel
        raise proxies.refused(reason)

    async def _handshake(self, tunnel: proxies.Tunnel, url: ParsedUrl, proxy: Proxy) -> None:
        if proxy.protocol in {"http", "https"}:
            await proxies.connect(tunnel, proxy, url.host, url.port)
            return
        host = url.host
        if proxy.protocol == "socks5":
            # Plain socks5 resolves here, so the address is known and judged.
            host = (await self._addresses(host, url.port, "dns"))[0]
            self.guard.judge(url, host)
        await proxies.socks5(tunnel, proxy, host, url.port)

    async def _attach(
        self, transport: asyncio.Transport, url: ParsedUrl, connection: Connection
    ) -> None:
        if url.scheme == "http":
            transport.set_protocol(connection)
            connection.connection_made(transport)
            return
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                transport, connection, self.tls, server_hostname=url.host
            )
        except (OSError, ssl.SSLError):
            raise _tls_error() from None
        if secured is None:
            raise _tls_error()
        connection.connection_made(secured)


async def _connect(
    factory: Callable[[], asyncio.Protocol],
    address: str,
    port: int,
    tls: tuple[ssl.SSLContext | None, str | None],
) -> None:
    loop = asyncio.get_running_loop()
    context, name = tls
    try:
        transport, _ = await loop.create_connection(
            factory, address, port, ssl=context, server_hostname=name
        )
    except ssl.SSLError:
        raise _tls_error() from None
    except OSError:
        raise TransportError(
            "the connection was refused", cause="connect_refused", sent=False
        ) from None
    raw = transport.get_extra_info("socket")
    if raw is not None:
        # uvloop sets this by itself; asyncio does too, for TCP. Proxies' wrapped sockets may not.
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _same(protocol: asyncio.Protocol) -> asyncio.Protocol:
    return protocol


def _tls_error() -> TransportError:
    return TransportError("the TLS handshake failed", cause="tls", sent=False)
