"""The other ends of the wire: scripted upstreams and proxies on loopback sockets."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sub2api.clock import Clock
from sub2api.transport.messages import Deadlines, Request, Response
from sub2api.transport.pool import Pool
from sub2api.transport.url_guard import Guard, Policy

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LOOPBACK = Guard(Policy(allow_loopback_http=True))


@dataclass
class Received:
    """A request as a peer read it."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Peer:
    """A listening script. `accepted` counts connections so far, `open` those that still are."""

    port: int = 0
    accepted: int = 0
    open: int = 0
    received: list[Received] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def until_open(self, count: int) -> None:
        """Wait until that many connections are open."""
        async with asyncio.timeout(5):
            while self.open != count:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Peer]:
    """Run `script` for every connection to a fresh port."""
    peer = Peer()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        peer.tasks.add(task)
        peer.accepted += 1
        peer.open += 1
        with suppress(
            ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, OSError
        ):
            await script(reader, writer)
        peer.open -= 1
        peer.tasks.discard(task)
        writer.transport.abort()

    server = await asyncio.start_server(connected, host, port, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in list(peer.tasks):
            task.cancel()
        await asyncio.gather(*peer.tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def read_head(reader: asyncio.StreamReader) -> tuple[str, list[tuple[str, str]]]:
    """Read a request's head."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head[:-4].split("\r\n")
    return line, [(name, value) for name, _, value in (each.partition(": ") for each in rest)]


async def read_request(reader: asyncio.StreamReader) -> Received:
    """Read a whole request."""
    line, headers = await read_head(reader)
    length = int(next((value for name, value in headers if name == "content-length"), "0"))
    return Received(line, headers, await reader.readexactly(length))


def answering(
    *replies: bytes, then_close: bool = False, log: list[Received] | None = None
) -> Script:
    """Answer the requests of a connection with these bytes, in turn (the last one for ever)."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while True:
            received = await read_request(reader)
            if log is not None:
                log.append(received)
            writer.write(replies[min(number, len(replies) - 1)])
            await writer.drain()
            number += 1
            if then_close and number == len(replies):
                writer.close()  # not abort: what was written still arrives
                await writer.wait_closed()
                return

    return script


def silent() -> Script:
    """Read the request and never say anything."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass

    return script


def deaf() -> Script:
    """Do not even read."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return script


class SetClock(Clock):
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.moment = 1000.0

    def monotonic(self) -> float:
        return self.moment


@asynccontextmanager
async def pooling(guard: Guard = LOOPBACK, **options: Any) -> AsyncIterator[Pool]:
    """Have a pool that is closed in the end."""
    clock = options.pop("clock", None) or Clock()
    pool = Pool(clock, guard, **options)
    try:
        yield pool
    finally:
        await pool.close()


async def ask(
    pool: Pool,
    url: str,
    *,
    method: str = "POST",
    body: bytes = b"{}",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    **options: Any,
) -> Response:
    """Send a request with the usual options."""
    usual: dict[str, Any] = {
        "lane": "a",
        "limit": 4,
        "proxy": None,
        "deadlines": Deadlines(2.0, 2.0, 2.0),
    }
    request = Request(method, url, headers, body)
    return await pool.send(request, **(usual | options))


# Certificates.


class Authority:
    """A certificate authority of our own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.certificate = self._signed(self._name, self._key, [], is_authority=True)
        self.file = folder / "authority.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts only this authority."""
        return ssl.create_default_context(cafile=str(self.file))

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Return a context of a server that has these names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._signed(subject, key, list(names), is_authority=False)
        file = self._folder / f"{names[0]}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: list[str],
        *,
        is_authority: bool,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if is_authority:
            usage = x509.KeyUsage(
                digital_signature=True, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
                encipher_only=False, decipher_only=False,
            )  # fmt: skip
            builder = builder.add_extension(usage, critical=True)
        else:
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


# Proxies.


@dataclass
class ProxyLog:
    """What a proxy was asked."""

    targets: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)


def connect_proxy(log: ProxyLog, *, login: str | None = None, answer: bytes = b"") -> Script:
    """Speak HTTP CONNECT, and forward absolute-form requests. `answer` replaces the reply."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, headers = await read_head(reader)
        method, target, _ = line.split(" ")
        log.targets.append(f"{method} {target}")
        given = dict(headers).get("proxy-authorization", "")
        log.credentials.append(given)
        if login is not None and given != "Basic " + base64.b64encode(login.encode()).decode():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            await reader.read()
        elif answer:
            writer.write(answer)
            await writer.drain()
            await reader.read()
        elif method == "CONNECT":
            port = int(target.rpartition(":")[2])
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await splice(reader, writer, port)
        else:
            length = int(dict(headers).get("content-length", "0"))
            await reader.readexactly(length)
            writer.write(OK)
            await writer.drain()
            await reader.read()

    return script


def socks_proxy(
    log: ProxyLog, *, login: str | None = None, status: int = 0, method: int | None = None
) -> Script:
    """Speak SOCKS5. `status` other than 0 refuses; `method` insists on one."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, count = await reader.readexactly(2)
        assert version == 5
        offered = await reader.readexactly(count)
        chosen = method if method is not None else (2 if login is not None else 0)
        if method is None and chosen not in offered:
            chosen = 0xFF
        writer.write(bytes([5, chosen]))
        if chosen == 2:
            _, length = await reader.readexactly(2)
            name = await reader.readexactly(length)
            secret = await reader.readexactly((await reader.readexactly(1))[0])
            log.credentials.append(f"{name.decode()}:{secret.decode()}")
            fine = log.credentials[-1] == login
            writer.write(b"\x01\x00" if fine else b"\x01\x01")
            if not fine:
                await writer.drain()
                return
        _, _, _, kind = await reader.readexactly(4)
        target = await _socks_target(reader, kind)
        port = int.from_bytes(await reader.readexactly(2), "big")
        log.targets.append(f"{kind} {target}:{port}")
        writer.write(bytes([5, status, 0, 3, 4]) + b"here" + b"\x00\x50")
        await writer.drain()
        if status == 0:
            await splice(reader, writer, port)

    return script


async def _socks_target(reader: asyncio.StreamReader, kind: int) -> str:
    if kind == 3:
        return (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    return str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))


async def splice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Carry bytes between a client and a loopback port, both ways."""
    there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.transport.abort() if sink is there_writer else sink.close()

    try:
        await asyncio.gather(carry(reader, there_writer), carry(there_reader, writer))
    finally:
        there_writer.transport.abort()
