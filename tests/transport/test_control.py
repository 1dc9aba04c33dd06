"""Control calls: httpx's manners, the pool's limits."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from sub2api.clock import Clock
from sub2api.errors import TransportError
from sub2api.transport.control import control_client
from sub2api.transport.pool import Pool
from sub2api.transport.proxies import parse_proxy
from sub2api.transport.url_guard import Guard, Policy
from tests.transport.peers import (
    LOOPBACK,
    OK,
    Authority,
    ProxyLog,
    Received,
    answering,
    listening,
    socks_proxy,
)  # fmt: skip

JSON = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{"a": 1}'


async def test_a_control_call_is_made_with_httpx() -> None:
    log: list[Received] = []
    async with listening(answering(JSON, log=log)) as peer:
        async with control_client(Clock(), LOOPBACK) as client:
            for _ in range(2):
                reply = await client.post(peer.url + "token?x=y", data={"code": "1 2"})
                assert reply.json() == {"a": 1}
        assert peer.accepted == 1
    assert log[0].line == "POST /token?x=y HTTP/1.1"
    assert log[0].body == b"code=1+2"
    assert log[0].header("host") == f"127.0.0.1:{peer.port}"
    assert log[0].header("accept-encoding") == "identity"
    assert [name for name, _ in log[0].headers].count("content-length") == 1


async def test_redirects_are_shown_not_followed() -> None:
    moved = b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"
    async with listening(answering(moved)) as peer, control_client(Clock(), LOOPBACK) as client:
        reply = await client.get(peer.url)
        assert (reply.status_code, reply.headers["location"]) == (302, "/elsewhere")


async def test_a_large_reply_is_refused() -> None:
    async with (
        listening(answering(JSON)) as peer,
        control_client(Clock(), LOOPBACK, limit=7) as client,
    ):
        with pytest.raises(TransportError) as caught:
            await client.get(peer.url)
        assert caught.value.cause == "too_large"


async def test_the_guard_applies() -> None:
    async with control_client(Clock(), Guard(Policy())) as client:
        for url in ("http://127.0.0.1/", "https://169.254.169.254/latest", "https://10.0.0.1/"):
            with pytest.raises(TransportError) as caught:
                await client.get(url)
            assert caught.value.cause == "blocked"


async def test_a_proxy_is_used() -> None:
    log = ProxyLog()
    async with listening(answering(OK)) as peer, listening(socks_proxy(log)) as proxy:
        through = parse_proxy(f"socks5h://127.0.0.1:{proxy.port}")
        async with control_client(Clock(), LOOPBACK, proxy=through) as client:
            assert (await client.get(peer.url)).text == "ok"
    assert log.targets == [f"1 127.0.0.1:{peer.port}"]


async def test_a_given_pool_is_used_and_closed(authority: Authority) -> None:
    server = authority.server_context("127.0.0.1")
    pool = Pool(Clock(), LOOPBACK, tls=authority.client_context())
    async with listening(answering(OK), tls=server) as peer:
        async with control_client(Clock(), LOOPBACK, pool=pool) as client:
            assert (await client.get(f"https://127.0.0.1:{peer.port}/")).content == b"ok"
            assert isinstance(client, httpx.AsyncClient)
        await peer.until_open(0)


def test_httpx_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, sub2api.transport.control; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
