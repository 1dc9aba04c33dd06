"""A request is written so that it is one request, whatever its parts contain."""

from __future__ import annotations

import pytest

from sub2api.errors import TransportError
from sub2api.transport.encoding import opening, prepare
from sub2api.transport.messages import Request
from sub2api.transport.proxies import parse_proxy
from sub2api.transport.url_guard import parse

URL = parse("https://x.com:8443/v1/messages?a=b")
Pairs = tuple[tuple[bytes, bytes], ...]


def head_of(
    headers: Pairs = (), *, method: str = "POST", body: bytes = b"", url: str = "", proxy: str = ""
) -> bytes:
    given = parse(url) if url else URL
    through = parse_proxy(proxy) if proxy else None
    return opening(prepare(Request(method, "", headers), given, through), body)


def test_a_request_has_host_first_and_its_length_last() -> None:
    assert head_of(((b"x", b"1"), (b"y", b""), (b"x", b"\xe9 2")), body=b"{}") == (
        b"POST /v1/messages?a=b HTTP/1.1\r\nhost: x.com:8443\r\nx: 1\r\ny: \r\nx: \xe9 2\r\n"
        b"accept-encoding: identity\r\ncontent-length: 2\r\n\r\n{}"
    )


@pytest.mark.parametrize(
    ("method", "framed"), [("POST", True), ("DELETE", True), ("GET", False), ("HEAD", False)]
)
def test_an_empty_body_is_announced_where_one_is_expected(method: str, framed: bool) -> None:
    assert (b"content-length: 0\r\n" in head_of(method=method)) is framed


def test_headers_of_the_connection_are_the_pools_own() -> None:
    theirs = (
        b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"te",
        b"trailer", b"upgrade", b"expect", b"proxy-authorization", b"proxy-connection",
    )  # fmt: skip
    head = head_of(tuple((name, b"theirs") for name in theirs), body=b"{}")
    assert b"theirs" not in head
    assert b"content-length: 2\r\n" in head


def test_a_wanted_encoding_is_left_alone() -> None:
    head = head_of(((b"accept-encoding", b"gzip"),))
    assert head.count(b"accept-encoding") == 1
    assert b"accept-encoding: gzip\r\n" in head


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nevil: 1"), (b"x", b"a\nevil: 1"), (b"x", b"a\revil"), (b"x", b"a\x00b"),
        (b"x", b"a\r\n\r\nGET / HTTP/1.1\r\n\r\n"), (b"x", b"a\n\r"),
        (b"x\r\nevil", b"1"), (b"x\n", b"1"), (b"", b"1"), (b"x y", b"1"), (b"x:", b"1"),
        (b"x\x00", b"1"), (b"x\xe9", b"1"), (b"X-Upper", b"1"), (b"Transfer-Encoding", b"chunked"),
        (b"x" * 257, b"1"),
    ],
)  # fmt: skip
def test_a_header_that_would_break_the_head_is_refused(header: tuple[bytes, bytes]) -> None:
    for _ in range(2):  # the second time names may be known
        with pytest.raises(TransportError) as caught:
            head_of((header,))
        assert (caught.value.cause, caught.value.sent) == ("protocol", False)
        assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    "method", ["GET /x HTTP/1.1\r\nevil: 1\r\n\r\nGET", "", "GE T", "G\u00c9T"]
)
def test_a_method_that_is_no_word_is_refused(method: str) -> None:
    with pytest.raises(TransportError, match="method"):
        head_of(method=method)


def test_large_bodies_are_not_copied_into_the_head() -> None:
    large = bytes(65537)
    target = prepare(Request("POST", "", ()), URL, None)
    assert opening(target, large).endswith(b"content-length: 65537\r\n\r\n")
    assert opening(target, large[:-1]).endswith(b"content-length: 65536\r\n\r\n" + large[:-1])


def test_a_target_is_where_a_connection_can_be_used_again() -> None:
    proxy = parse_proxy("http://127.0.0.1:1")
    target = prepare(Request("HEAD", "", ()), parse("http://x.com/a"), proxy)
    assert target.origin == ("http", "x.com", 80, proxy)
    assert (target.is_head, target.bodiless, target.proxied) == (True, True, True)


def test_http_through_an_http_proxy_is_in_absolute_form_with_its_credentials() -> None:
    for proxy in ("http://u:p@127.0.0.1:1", "https://u:p@127.0.0.1:1"):
        head = head_of(url="http://[2606:4700::1]:81/a?b", proxy=proxy)
        assert head.startswith(
            b"POST http://[2606:4700::1]:81/a?b HTTP/1.1\r\nhost: [2606:4700::1]:81\r\n"
        )
        assert b"\r\nproxy-authorization: Basic dTpw\r\n" in head


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
def test_a_tunnelled_request_does_not_show_the_proxys_credentials(scheme: str) -> None:
    head = head_of(proxy=f"{scheme}://u:p@127.0.0.1:1")
    assert head.startswith(b"POST /v1/messages?a=b HTTP/1.1\r\n")
    assert b"proxy-authorization" not in head
