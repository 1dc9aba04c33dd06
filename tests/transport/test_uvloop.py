"""The same pool on uvloop: every kind of connection once, in one run."""

from __future__ import annotations

import asyncio
import sys

import pytest

from sub2api.errors import TransportError
from sub2api.transport.messages import Deadlines
from sub2api.transport.pool import Pool
from sub2api.transport.proxies import parse_proxy
from sub2api.transport.response import PooledResponse
from tests.transport import test_dialing
from tests.transport.peers import (
    OK,
    Authority,
    ProxyLog,
    answering,
    ask,
    connect_proxy,
    listening,
    pooling,
    silent,
    socks_proxy,
)  # fmt: skip
from tests.transport.replies import flood

uvloop = pytest.importorskip("uvloop", reason="uvloop does not exist on this system")


def run(authority: Authority, journey: object) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(journey(authority))  # type: ignore[operator]  # one of the functions below


async def plain(authority: Authority) -> None:
    async with listening(answering(OK)) as peer, pooling() as pool:
        for size in (10, 100_000, 3_000_000):
            for _ in range(3):
                response = await ask(pool, peer.url, body=bytes(size))
                assert await response.read(9) == b"ok"
        assert peer.accepted == 1


async def tls(authority: Authority) -> None:
    server = authority.server_context("127.0.0.1")
    async with (
        listening(answering(OK), tls=server) as peer,
        pooling(tls=authority.client_context()) as pool,
    ):
        for size in (10, 3_000_000, 10):
            response = await ask(pool, f"https://127.0.0.1:{peer.port}/", body=bytes(size))
            assert await response.read(9) == b"ok"
        assert peer.accepted == 1


async def proxies(authority: Authority) -> None:
    upstream_tls = authority.server_context("127.0.0.1")
    proxy_tls = authority.server_context("127.0.0.1")
    for scheme in ("http", "https", "socks5", "socks5h"):
        speak = socks_proxy if scheme.startswith("socks") else connect_proxy
        over_tls = proxy_tls if scheme == "https" else None
        for upstream_over in (upstream_tls, None):
            async with (
                listening(answering(OK), tls=upstream_over) as peer,
                listening(speak(ProxyLog()), tls=over_tls) as proxy,
                pooling(tls=authority.client_context()) as pool,
            ):
                url = f"{'https' if upstream_over else 'http'}://127.0.0.1:{peer.port}/"
                through = parse_proxy(f"{scheme}://127.0.0.1:{proxy.port}")
                for size in (10, 1_000_000) if upstream_over else (10,):
                    response = await ask(pool, url, proxy=through, body=bytes(size))
                    assert await response.read(9) == b"ok", scheme


async def back_pressure(authority: Authority) -> None:
    sent, most, got = [0], 0, 0
    for over in (None, authority.server_context("127.0.0.1")):
        sent[0] = got = 0
        async with (
            listening(flood(sent, 20_000_000), tls=over) as peer,
            pooling(tls=authority.client_context()) as pool,
        ):
            url = f"{'https' if over else 'http'}://127.0.0.1:{peer.port}/"
            response = await ask(pool, url)
            assert isinstance(response, PooledResponse)
            await asyncio.sleep(0.2)
            assert sent[0] < 15_000_000
            while data := await response.chunk():
                got += len(data)
                await asyncio.sleep(0)
                most = max(most, len(data), response.held)
            assert got == 20_000_000
            assert most <= 262144


async def end_of_tls(authority: Authority) -> None:
    for proper in (True, False):
        await test_dialing.test_a_tls_stream_that_is_cut_is_not_complete(authority, proper)
    await test_dialing.test_the_end_of_a_tls_stream_swallows_nothing(authority, 0.05)


async def endings(authority: Authority) -> None:
    async with listening(silent()) as peer, pooling() as pool:
        for cause, patience in (
            ("first_byte_timeout", Deadlines(1, 0.05, 1)),
            ("busy", Deadlines(0.05, 1, 1)),
        ):
            held = asyncio.get_running_loop().create_task(ask(pool, peer.url, limit=1))
            await peer.until_open(1)
            if cause != "busy":
                held.cancel()
                await asyncio.gather(held, return_exceptions=True)
            assert await caught(pool, peer.url, patience) == cause
            held.cancel()
            await asyncio.gather(held, return_exceptions=True)
            await peer.until_open(0)
        assert pool.connections("a") == (0, 0)
        through = Deadlines(0.2, 1, 1)
        assert await caught(pool, f"https://127.0.0.1:{peer.port}/", through) == "connect_timeout"
        await pool.close()


async def caught(pool: Pool, url: str, patience: Deadlines) -> str:
    with pytest.raises(TransportError) as error:
        await ask(pool, url, limit=1, deadlines=patience)
    return error.value.cause


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not exist there")
@pytest.mark.parametrize("journey", [plain, tls, proxies, back_pressure, end_of_tls, endings])
def test_the_pool_works_on_uvloop(authority: Authority, journey: object) -> None:
    run(authority, journey)
