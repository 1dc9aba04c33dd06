"""Calls through proxies: what goes on the wire; a broken proxy never means going direct."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from sub2api.errors import MistakeError, TransportError
from sub2api.model.accounts import Proxy
from sub2api.transport.messages import Deadlines
from sub2api.transport.proxies import Tunnel, parse_proxy
from sub2api.transport.url_guard import Guard, Policy
from tests.transport.peers import (
    OK,
    Authority,
    ProxyLog,
    Script,
    answering,
    ask,
    connect_proxy,
    deaf,
    listening,
    pooling,
    socks_proxy,
)  # fmt: skip

OPEN = Guard(Policy(allow_insecure_http=True, allow_private_hosts=True))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("http://h.test:3128", ("http", "h.test", 3128, None, None)),
        ("https://h.test", ("https", "h.test", 443, None, None)),
        ("http://h.test/", ("http", "h.test", 80, None, None)),
        ("SOCKS5://H.Test", ("socks5", "h.test", 1080, None, None)),
        ("socks5h://u:p@[::1]:9050", ("socks5h", "::1", 9050, "u", "p")),
        ("http://u%40x:p%3A%2F%40@h.test:1", ("http", "h.test", 1, "u@x", "p:/@")),
        ("http://u:p@w@h.test:1", ("http", "h.test", 1, "u", "p@w")),
        ("http://u@h.test:1", ("http", "h.test", 1, "u", "")),
        ("  http://h.test:1  ", ("http", "h.test", 1, None, None)),
    ],
)
def test_a_proxy_url_is_parsed(text: str, parts: tuple[object, ...]) -> None:
    proxy = parse_proxy(text, "office")
    found = (proxy.protocol, proxy.host, proxy.port, proxy.username, proxy.password)
    assert found == parts
    assert proxy.name == "office"
    assert parse_proxy(text).name == proxy.host


@pytest.mark.parametrize(
    "text",
    [
        "", "h.test:3128", "socks4://h.test", "ftp://h.test", "http://", "http://:3128",
        "http://h.test:0", "http://h.test:99999", "http://h.test:x", "http://h.test:1/path",
        "http://h.test:1?q", "http://h.test:1#f", "http://[::1", "http://[::1].x:1",
        "http://:s3cret@h.test", "http://u:s3cret%0a@h.test", "http://u:s3cret%00@h.test",
        "http://u:s3 cret@h.test", "http://u:s3cret#x@h.test:1", "http://u:s3cret/x@h.test:1",
        "http://u:" + "s3cret" * 50 + "@h.test", "http://h\\x:1", "http://a..b:1",
    ],
)  # fmt: skip
def test_any_other_text_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(MistakeError) as caught:
        parse_proxy(text)
    assert "socks5h://" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_password_is_in_no_repr() -> None:
    assert "s3cret" not in repr(parse_proxy("http://u:s3cret@h.test:1"))


def proxied(protocol: str, port: int, login: str = "") -> Proxy:
    return parse_proxy(f"{protocol}://{login + '@' if login else ''}127.0.0.1:{port}")


async def names(host: str, port: int) -> list[str]:
    assert host in {"upstream.test", "localhost"}
    return ["127.0.0.1"]


@pytest.mark.parametrize("login", ["", "joe:p:w"])
@pytest.mark.parametrize(
    ("protocol", "target"),
    [
        ("http", "CONNECT upstream.test:{}"), ("https", "CONNECT upstream.test:{}"),
        ("socks5", "1 127.0.0.1:{}"), ("socks5h", "3 upstream.test:{}"),
    ],
)  # fmt: skip
async def test_https_goes_through_a_tunnel(
    authority: Authority, protocol: str, target: str, login: str
) -> None:
    log = ProxyLog()
    speak = socks_proxy if protocol.startswith("socks") else connect_proxy
    over_tls = authority.server_context("127.0.0.1") if protocol == "https" else None
    async with (
        listening(answering(OK), tls=authority.server_context("upstream.test")) as upstream,
        listening(speak(log, login=login or None), tls=over_tls) as proxy,
        pooling(OPEN, tls=authority.client_context(), resolve=names) as pool,
    ):
        for _ in range(3):
            response = await ask(
                pool,
                f"https://upstream.test:{upstream.port}/",
                proxy=proxied(protocol, proxy.port, login),
            )
            assert await response.read(9) == b"ok"
        assert log.targets == [target.format(upstream.port)]
        assert (upstream.accepted, proxy.accepted) == (1, 1)


@pytest.mark.parametrize("protocol", ["socks5", "socks5h"])
async def test_http_goes_through_a_socks_tunnel(protocol: str) -> None:
    log = ProxyLog()
    async with (
        listening(answering(OK)) as upstream,
        listening(socks_proxy(log)) as proxy,
        pooling(OPEN, resolve=names) as pool,
    ):
        for _ in range(2):
            response = await ask(
                pool,
                f"http://localhost:{upstream.port}/",
                proxy=proxied(protocol, proxy.port),
            )
            assert await response.read(9) == b"ok"
        assert upstream.accepted == 1


async def test_an_ipv6_address_goes_to_a_socks_proxy_as_such() -> None:
    log = ProxyLog()
    async with listening(socks_proxy(log, status=4)) as proxy, pooling(OPEN) as pool:
        with pytest.raises(TransportError, match="host unreachable"):
            await ask(pool, "http://[2606:4700::1]:81/", proxy=proxied("socks5h", proxy.port))
    assert log.targets == ["4 2606:4700::1:81"]


@pytest.mark.parametrize("protocol", ["http", "https"])
async def test_http_through_an_http_proxy_is_forwarded_by_it(
    authority: Authority, protocol: str
) -> None:
    log = ProxyLog()
    over_tls = authority.server_context("127.0.0.1") if protocol == "https" else None
    async with (
        listening(connect_proxy(log, login="u:p"), tls=over_tls) as proxy,
        pooling(OPEN, tls=authority.client_context()) as pool,
    ):
        response = await ask(
            pool, "http://upstream.test:81/v1?a", proxy=proxied(protocol, proxy.port, "u:p")
        )
        assert await response.read(9) == b"ok"
    assert log.targets == ["POST http://upstream.test:81/v1?a"]


async def test_proxies_are_not_mixed_up() -> None:
    logs = [ProxyLog(), ProxyLog()]
    async with (
        listening(answering(OK)) as upstream,
        listening(socks_proxy(logs[0])) as one,
        listening(socks_proxy(logs[1])) as other,
        pooling() as pool,
    ):
        for through in (proxied("socks5h", one.port), proxied("socks5h", other.port), None):
            response = await ask(pool, upstream.url, proxy=through)
            assert await response.read(9) == b"ok"
        assert upstream.accepted == 3
    assert [len(log.targets) for log in logs] == [1, 1]


def hanging_up(*, after: int) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x05\x00\x05\x00\x00"[:after])
        await writer.drain()
        await asyncio.sleep(0.01)

    return script


def saying(reply: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(reply)
        await writer.drain()
        await reader.read()

    return script


LOG = ProxyLog()
BROKEN = [
    ("http", connect_proxy(LOG, login="joe:right"), "407"),
    ("http", connect_proxy(LOG, answer=b"HTTP/1.1 403 Forbidden\r\n\r\n"), "403"),
    ("http", connect_proxy(LOG, answer=b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), "502"),
    ("http", connect_proxy(LOG, answer=b"HTTP/1.1 2000 OK\r\n\r\n"), "speak HTTP"),
    ("http", connect_proxy(LOG, answer=b"SSH-2.0-x\r\n\r\n"), "speak HTTP"),
    ("http", connect_proxy(LOG, answer=b"\r\n\r\n"), "speak HTTP"),
    ("http", connect_proxy(LOG, answer=b"HTTP/1.1 200 OK\r\n\r\nearly"), "out of turn"),
    ("http", connect_proxy(LOG, answer=b"HTTP/1.1 200 OK\r\nx: " + b"y" * 20000), "closed"),
    ("http", hanging_up(after=0), "closed"),
    ("socks5h", socks_proxy(LOG, login="joe:right"), "user name or password"),
    ("socks5h", socks_proxy(LOG, method=0xFF), "another authentication"),
    ("socks5h", socks_proxy(LOG, method=1), "another authentication"),
    ("socks5h", socks_proxy(LOG, status=1), "general failure"),
    ("socks5h", socks_proxy(LOG, status=2), "not allowed"),
    ("socks5h", socks_proxy(LOG, status=5), "connection refused"),
    ("socks5h", socks_proxy(LOG, status=77), "error 77"),
    ("socks5h", saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "speak SOCKS5"),
    ("socks5h", saying(b"\x05\x00\x04\x00\x00\x01" + bytes(6)), "speak SOCKS5"),
    ("socks5h", saying(b"\x05\x00\x05\x00\x00\x09" + bytes(6)), "speak SOCKS5"),
    ("socks5h", saying(b"\x05\x00\x05\x00\x00\x04" + bytes(18) + b"early"), "out of turn"),
    ("socks5h", hanging_up(after=1), "closed"),
    ("socks5h", hanging_up(after=5), "closed"),
    ("https", saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS handshake"),
]


@pytest.mark.parametrize(("protocol", "script", "word"), BROKEN)
async def test_a_proxy_that_cannot_be_used_refuses_and_nothing_goes_direct(
    protocol: str, script: Script, word: str
) -> None:
    async with (
        listening(answering(OK)) as upstream,
        listening(script) as proxy,
        pooling() as pool,
    ):
        with pytest.raises(TransportError) as caught:
            await ask(
                pool,
                f"https://127.0.0.1:{upstream.port}/",
                proxy=proxied(protocol, proxy.port, "joe:s3cret"),
            )
        assert (caught.value.cause, caught.value.sent) == ("proxy", False)
        assert word in str(caught.value)
        assert "s3cret" not in str(caught.value)
        assert upstream.accepted == 0
        assert pool.connections("a") == (0, 0)
        await proxy.until_open(0)


def test_a_proxy_that_hung_up_after_its_handshake_has_no_tunnel() -> None:
    tunnel = Tunnel()
    tunnel.check_silent()
    tunnel.connection_lost(None)
    with pytest.raises(TransportError, match="closed the connection"):
        tunnel.check_silent()


async def test_a_disabled_proxy_is_not_used_and_not_passed_by() -> None:
    async with listening(socks_proxy(ProxyLog())) as proxy, listening(answering(OK)) as upstream:
        through = dataclasses.replace(proxied("socks5h", proxy.port), status="disabled")
        async with pooling() as pool:
            with pytest.raises(TransportError, match="disabled") as caught:
                await ask(pool, upstream.url, proxy=through)
        assert caught.value.cause == "proxy"
        assert (proxy.accepted, upstream.accepted) == (0, 0)


async def test_a_forwarding_proxy_that_wants_a_login_is_the_proxys_failure() -> None:
    async with (
        listening(connect_proxy(ProxyLog(), login="joe:right")) as proxy,
        pooling(OPEN) as pool,
    ):
        with pytest.raises(TransportError, match="407") as caught:
            await ask(pool, "http://x.test/", proxy=proxied("http", proxy.port, "joe:wrong"))
        assert (caught.value.cause, caught.value.sent) == ("proxy", False)
        assert pool.connections("a") == (0, 0)


@pytest.mark.parametrize("protocol", ["http", "https", "socks5", "socks5h"])
async def test_a_proxy_that_is_down_or_silent_is_a_proxy_error(protocol: str) -> None:
    async with listening(deaf()) as proxy, pooling(OPEN, resolve=names) as pool:
        with pytest.raises(TransportError) as caught:
            await ask(
                pool,
                "https://upstream.test/",
                proxy=proxied(protocol, proxy.port),
                deadlines=Deadlines(0.1, 1, 1),
            )
        assert (caught.value.cause, caught.value.sent) == ("proxy", False)
        down = proxied(protocol, proxy.port)
    async with pooling(OPEN, resolve=names) as pool:
        with pytest.raises(TransportError) as caught:
            await ask(pool, "https://upstream.test/", proxy=down)
        assert (caught.value.cause, caught.value.sent) == ("proxy", False)


async def test_a_proxy_whose_name_has_no_address_is_a_proxy_error() -> None:
    async def nothing(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    async with pooling(OPEN, resolve=nothing) as pool:
        with pytest.raises(TransportError) as caught:
            await ask(pool, "https://x.test/", proxy=parse_proxy("http://nowhere.test:1"))
        assert caught.value.cause == "proxy"


async def test_a_bad_certificate_behind_a_tunnel_is_a_tls_error(authority: Authority) -> None:
    async with (
        listening(answering(OK), tls=authority.server_context("other.test")) as upstream,
        listening(connect_proxy(ProxyLog())) as proxy,
        pooling(tls=authority.client_context()) as pool,
    ):
        with pytest.raises(TransportError) as caught:
            await ask(
                pool,
                f"https://upstream.test:{upstream.port}/",
                proxy=proxied("http", proxy.port),
            )
        assert (caught.value.cause, caught.value.sent) == ("tls", False)
        assert pool.connections("a") == (0, 0)


@pytest.mark.parametrize("protocol", ["http", "socks5", "socks5h"])
async def test_the_guard_judges_the_url_behind_a_proxy(protocol: str) -> None:
    async with listening(connect_proxy(ProxyLog())) as proxy, pooling() as pool:
        for url in ("https://169.254.169.254/", "https://10.0.0.1/", "http://x.test/"):
            with pytest.raises(TransportError) as caught:
                await ask(pool, url, proxy=proxied(protocol, proxy.port))
            assert caught.value.cause == "blocked"
        assert proxy.accepted == 0


async def test_a_name_behind_a_proxy_may_lead_into_its_network_but_not_to_metadata() -> None:
    addresses = ["10.0.0.1"]

    async def resolve(host: str, port: int) -> list[str]:
        return addresses

    log = ProxyLog()
    async with listening(socks_proxy(log, status=4)) as proxy, pooling(resolve=resolve) as pool:
        through = proxied("socks5", proxy.port)
        with pytest.raises(TransportError) as caught:
            await ask(pool, "https://inside.test/", proxy=through)
        assert caught.value.cause == "proxy"
        assert log.targets == ["1 10.0.0.1:443"]
        addresses[0] = "169.254.169.254"
        with pytest.raises(TransportError) as caught:
            await ask(pool, "https://inside.test/", proxy=through)
        assert caught.value.cause == "blocked"
        assert log.targets == ["1 10.0.0.1:443"]


@pytest.mark.parametrize("protocol", ["http", "socks5h"])
async def test_cancelling_a_proxys_handshake_closes_the_connection(protocol: str) -> None:
    async with listening(saying(b"")) as proxy, pooling() as pool:
        call = asyncio.get_running_loop().create_task(
            ask(pool, "https://x.test/", proxy=proxied(protocol, proxy.port))
        )
        await proxy.until_open(1)
        await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await proxy.until_open(0)
        assert pool.connections("a") == (0, 0)
