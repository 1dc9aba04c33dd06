"""Write a request's head, so that it is one request and nothing else. Source: RFC 9112."""

from __future__ import annotations

import re

from sub2api.errors import TransportError
from sub2api.model.accounts import Proxy
from sub2api.transport.connection import Message
from sub2api.transport.messages import Headers, Request
from sub2api.transport.proxies import basic_credentials
from sub2api.transport.url_guard import ParsedUrl

_SMALL_BODY = 65536
_OURS = frozenset(
    {
        b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"te",
        b"trailer", b"upgrade", b"expect", b"proxy-authorization", b"proxy-connection",
    }
)  # fmt: skip
"""Headers of this connection, not of the request: the pool alone decides about them."""
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]{1,256}")
"""Lower-case, as `messages.Headers` promises: otherwise `_OURS` could be passed by."""
_KNOWN_NAMES: set[bytes] = set()
"""Names that were found to be tokens before; a handful, whatever clients send."""
_MOST_KNOWN = 1024


def encoded(request: Request, url: ParsedUrl, proxy: Proxy | None) -> Message:
    """Write a request. Raises TransportError (`protocol`) if it would not be exactly one."""
    method, body = request.method, request.body
    if not (method.isascii() and method.isalpha()):
        raise _refused("the method is not a word")
    forwarded = is_forwarded(url, proxy)
    target = f"http://{url.authority}{url.target}" if forwarded else url.target
    lines = [f"{method} {target} HTTP/1.1\r\nhost: {url.authority}\r\n".encode()]
    lines += _header_lines(request.headers)
    if forwarded and proxy is not None and (credentials := basic_credentials(proxy)):
        lines.append(b"proxy-authorization: %b\r\n" % credentials)
    if body or method not in {"GET", "HEAD"}:
        lines.append(b"content-length: %d\r\n" % len(body))
    lines.append(b"\r\n")
    head = b"".join(lines)
    # Every line has its own end and no other: cheaper than looking into each value.
    ends = len(lines) + 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\x00" in head:
        raise _refused("a header's value has a line break in it")
    is_small = len(body) <= _SMALL_BODY
    return Message(
        head=head + body if is_small else head,
        body=b"" if is_small else body,
        is_head=method == "HEAD",
        proxied=forwarded,
    )


def _header_lines(headers: Headers) -> list[bytes]:
    lines: list[bytes] = []
    asked = False
    for name, value in headers:
        if name in _OURS:
            continue
        if name not in _KNOWN_NAMES:
            _check_name(name)
        if name == b"accept-encoding":
            asked = True
        lines.append(b"%b: %b\r\n" % (name, value))
    if not asked:
        lines.append(b"accept-encoding: identity\r\n")
    return lines


def is_forwarded(url: ParsedUrl, proxy: Proxy | None) -> bool:
    """Whether a proxy gets the request itself (absolute-form) instead of a tunnel."""
    return proxy is not None and url.scheme == "http" and proxy.protocol in {"http", "https"}


def _check_name(name: bytes) -> None:
    if not _TOKEN.fullmatch(name):
        raise _refused("a header's name is not a lower-case token")
    if len(_KNOWN_NAMES) < _MOST_KNOWN:
        _KNOWN_NAMES.add(name)


def _refused(reason: str) -> TransportError:
    return TransportError(f"the request cannot be sent: {reason}", cause="protocol", sent=False)
