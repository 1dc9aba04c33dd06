"""Connections: names, judged addresses, TLS, and every way in which they fail."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sub2api.errors import TransportError
from sub2api.transport.dialing import Resolver, _in_turn, default_context, system_resolver
from sub2api.transport.messages import Deadlines
from sub2api.transport.pool import Pool
from sub2api.transport.url_guard import Guard, Policy
from tests.transport.peers import (
    OK,
    Authority,
    Script,
    answering,
    ask,
    deaf,
    listening,
    pooling,
    read_request,
    silent,
)  # fmt: skip


def resolving(*addresses: str) -> Resolver:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


async def failure(pool: Pool, url: str, **options: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await ask(pool, url, **options)
    assert pool.connections("a") == (0, 0)
    assert not caught.value.sent
    return caught.value


async def test_https_verifies_the_name_and_the_authority(authority: Authority) -> None:
    server = authority.server_context("upstream.test")
    async with (
        listening(answering(OK), tls=server) as peer,
        pooling(tls=authority.client_context(), resolve=resolving("127.0.0.1")) as pool,
    ):
        for _ in range(3):
            response = await ask(pool, f"https://upstream.test:{peer.port}/", lane="b")
            assert await response.read(9) == b"ok"
        assert peer.accepted == 1
        error = await failure(pool, f"https://other.test:{peer.port}/")
        assert error.cause == "tls"
        assert "other.test" in str(error)


async def test_https_to_an_address_verifies_the_address(authority: Authority) -> None:
    server = authority.server_context("127.0.0.1")
    async with (
        listening(answering(OK), tls=server) as peer,
        pooling(tls=authority.client_context()) as pool,
    ):
        response = await ask(pool, f"https://127.0.0.1:{peer.port}/")
        assert await response.read(9) == b"ok"


async def test_an_unknown_authority_is_refused(authority: Authority) -> None:
    server = authority.server_context("127.0.0.1")
    async with listening(answering(OK), tls=server) as peer, pooling() as pool:
        error = await failure(pool, f"https://127.0.0.1:{peer.port}/")
        assert error.cause == "tls"
        assert "verif" in str(error) or "issuer" in str(error)


@pytest.mark.parametrize("script", [answering(OK), "hang up"])
async def test_a_server_without_tls_is_a_tls_error(script: Script | str) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await reader.read(1)

    async with listening(hang_up if script == "hang up" else babble) as peer, pooling() as pool:
        assert (await failure(pool, f"https://127.0.0.1:{peer.port}/")).cause == "tls"


async def test_a_tls_handshake_that_hangs_ends_with_the_connect_deadline() -> None:
    async with listening(deaf()) as peer, pooling() as pool:
        error = await failure(
            pool, f"https://127.0.0.1:{peer.port}/", deadlines=Deadlines(0.3, 9, 9)
        )
        assert error.cause == "connect_timeout"
        await peer.until_open(1)


def end_below_tls(writer: asyncio.StreamWriter) -> None:
    """End the connection without TLS's closing alert."""
    below = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
    below.shutdown(socket.SHUT_WR)
    below.close()


@pytest.mark.parametrize("proper", [True, False])
async def test_a_tls_stream_that_is_cut_is_not_complete(authority: Authority, proper: bool) -> None:
    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await writer.drain()
        if proper:
            writer.close()
            await reader.read()
        else:  # no closing alert, only the end of the connection
            end_below_tls(writer)
            await reader.read()

    server = authority.server_context("127.0.0.1")
    async with (
        listening(end, tls=server) as peer,
        pooling(tls=authority.client_context()) as pool,
    ):
        response = await ask(pool, f"https://127.0.0.1:{peer.port}/")
        if proper:
            assert await response.read(99) == b"hello"
        else:
            assert await response.chunk() == b"hello"
            with pytest.raises(TransportError) as caught:
                await response.chunk()
            assert caught.value.cause == "truncated"


@pytest.mark.parametrize("patience", [0.0, 0.05])
async def test_the_end_of_a_tls_stream_swallows_nothing(
    authority: Authority, patience: float
) -> None:
    async def blurt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=0)
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 400000\r\n\r\n")
        writer.write(bytes(400_000))
        await writer.drain()
        end_below_tls(writer)
        await reader.read()

    server = authority.server_context("127.0.0.1")
    async with (
        listening(blurt, tls=server) as peer,
        pooling(tls=authority.client_context()) as pool,
    ):
        response = await ask(pool, f"https://127.0.0.1:{peer.port}/")
        got = 0
        while data := await response.chunk():
            got += len(data)
            await asyncio.sleep(patience)
        assert got == 400_000


async def test_a_refused_connection_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with pooling() as pool:
            assert (await failure(pool, f"http://127.0.0.1:{port}/")).cause == "connect_refused"


@pytest.mark.parametrize("problem", [OSError("no such name"), UnicodeError("bad label"), None])
async def test_a_name_without_addresses_is_a_dns_error(problem: Exception | None) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        if problem is not None:
            raise problem
        return []

    async with pooling(resolve=resolve) as pool:
        error = await failure(pool, "https://nowhere.test/")
        assert error.cause == "dns"
        assert "nowhere.test" in str(error)


async def test_a_name_service_that_hangs_ends_with_the_connect_deadline() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with pooling(resolve=resolve) as pool:
        error = await failure(pool, "https://slow.test/", deadlines=Deadlines(0.05, 1, 1))
        assert error.cause == "connect_timeout"


async def test_the_systems_names_are_resolved() -> None:
    assert set(await system_resolver("localhost", 80)) & {"127.0.0.1", "::1"}
    async with pooling() as pool, listening(answering(OK)) as peer:
        response = await ask(pool, f"http://localhost:{peer.port}/")
        assert await response.read(9) == b"ok"


@pytest.mark.parametrize(
    "addresses",
    [
        ["169.254.169.254"], ["10.0.0.1"], ["0.0.0.0"], ["::ffff:169.254.169.254"], ["fe80::1%lo"],
        ["127.0.0.1", "10.0.0.1"], ["127.0.0.1", "169.254.169.254"],
    ],
)  # fmt: skip
async def test_a_name_that_leads_where_nothing_may_connect_is_blocked(addresses: list[str]) -> None:
    async with listening(answering(OK)) as peer, pooling(resolve=resolving(*addresses)) as pool:
        error = await failure(pool, f"http://localhost:{peer.port}/")
        assert error.cause == "blocked"
        assert peer.accepted == 0


async def test_a_name_is_judged_anew_for_each_connection_and_not_resolved_again() -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    asked = 0

    async def rebinding(host: str, port: int) -> list[str]:
        nonlocal asked
        asked += 1
        return answers[asked - 1]

    closing = OK.replace(b"content-length", b"connection: close\r\ncontent-length")
    async with listening(answering(closing)) as peer, pooling(resolve=rebinding) as pool:
        response = await ask(pool, f"http://localhost:{peer.port}/")
        assert await response.read(9) == b"ok"
        assert asked == 1  # the judged address was used, the name not looked up a second time
        assert (await failure(pool, f"http://localhost:{peer.port}/")).cause == "blocked"


async def test_an_odd_spelling_of_an_address_goes_to_that_address() -> None:
    async def never(host: str, port: int) -> list[str]:
        raise AssertionError("a literal needs no name service")

    async with listening(answering(OK)) as peer, pooling(resolve=never) as pool:
        for host in ("127.1", "0x7f000001", "2130706433"):
            response = await ask(pool, f"http://{host}:{peer.port}/")
            assert await response.read(9) == b"ok"


async def test_http_needs_permission_at_connect_time_too() -> None:
    guard = Guard(Policy(allow_private_hosts=True))
    async with listening(answering(OK)) as peer, pooling(guard) as pool:
        assert (await failure(pool, peer.url)).cause == "blocked"
        assert peer.accepted == 0


@contextmanager
def dead_end() -> Iterator[int]:
    """Have a port of 127.0.0.1 where connecting hangs: its queue is full."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        try:
            yield full.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


async def test_an_address_that_leads_nowhere_leaves_time_for_the_next() -> None:
    with dead_end() as port:
        two = resolving("127.0.0.1", "127.0.0.2")
        async with (
            listening(answering(OK), host="127.0.0.2", port=port) as peer,
            pooling(resolve=two) as pool,
        ):
            patience = Deadlines(1.0, 1, 1)
            response = await ask(pool, f"http://localhost:{port}/", deadlines=patience)
            assert await response.read(9) == b"ok"
            assert peer.accepted == 1


async def test_connecting_to_nowhere_ends_with_the_connect_deadline() -> None:
    with dead_end() as port:
        async with pooling() as pool:
            error = await failure(pool, f"http://127.0.0.1:{port}/", deadlines=Deadlines(0.1, 1, 1))
            assert error.cause == "connect_timeout"
            assert "in time" in str(error)


async def test_cancelling_a_connect_leaks_nothing() -> None:
    with dead_end() as port:
        async with pooling() as pool:
            call = asyncio.get_running_loop().create_task(ask(pool, f"http://127.0.0.1:{port}/"))
            await asyncio.sleep(0.02)
            assert pool.connections("a") == (1, 0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert pool.connections("a") == (0, 0)


async def test_cancelling_a_tls_handshake_closes_the_connection() -> None:
    async with listening(silent()) as peer, pooling() as pool:
        call = asyncio.get_running_loop().create_task(ask(pool, f"https://127.0.0.1:{peer.port}/"))
        await peer.until_open(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await peer.until_open(0)
        assert pool.connections("a") == (0, 0)


async def test_a_pool_closed_during_a_connect_keeps_nothing() -> None:
    gate = asyncio.Event()

    async def resolve(host: str, port: int) -> list[str]:
        await gate.wait()
        return ["127.0.0.1"]

    async with listening(answering(OK)) as peer, pooling(resolve=resolve) as pool:
        call = asyncio.get_running_loop().create_task(ask(pool, f"http://localhost:{peer.port}/"))
        await asyncio.sleep(0.01)
        await pool.close()
        gate.set()
        with pytest.raises(TransportError, match="the pool is closed"):
            await call
        assert pool.connections("a") == (0, 0)


def test_both_families_are_tried_in_turn_and_not_too_many() -> None:
    six, four = ["::1", "::2", "::3"], ["1.1.1.1", "1.1.1.2"]
    assert _in_turn(six + four) == ["::1", "1.1.1.1", "::2", "1.1.1.2"]
    assert _in_turn(four + six) == ["1.1.1.1", "::1", "1.1.1.2", "::2"]
    assert _in_turn(["1.1.1.1"]) == ["1.1.1.1"]


async def test_small_writes_are_not_delayed_and_silence_is_kept_alive(pool: Pool) -> None:
    async with listening(answering(OK)) as peer:
        await (await ask(pool, peer.url)).read(9)
        (connection,) = next(iter(pool._lanes["a"]._idle.values()))
        assert connection._transport is not None
        raw = connection._transport.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("authorities", ["a file", "a folder", "an empty folder", "nothing"])
def test_where_the_machine_has_no_authorities_certifis_are_trusted(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authorities: str
) -> None:
    if authorities == "a folder":
        (tmp_path / "one.pem").write_bytes(authority.file.read_bytes())
    file = str(authority.file) if authorities == "a file" else ""
    folder = str(tmp_path) if "folder" in authorities else ""
    paths = ssl.DefaultVerifyPaths(file, folder, "", "", "", "")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)
    monkeypatch.setattr(ssl.SSLContext, "set_default_verify_paths", lambda *_: None)
    loaded = len(default_context().get_ca_certs())
    assert (loaded > 50) is (authorities in {"an empty folder", "nothing"})


def test_certificates_and_names_are_verified_by_default() -> None:
    context = default_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
