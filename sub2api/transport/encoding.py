"""Write a request's head, so that it is one request and nothing else. Source: RFC 9112."""

from __future__ import annotations

import re
from functools import lru_cache

from sub2api.errors import TransportError
from sub2api.model.accounts import Proxy
from sub2api.transport.messages import Headers, Request, Target
from sub2api.transport.proxies import basic_credentials
from sub2api.transport.url_guard import ParsedUrl

SMALL_BODY = 65536
"""Up to here a body is joined to its head, and sent as one."""
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


def prepare(request: Request, url: ParsedUrl, proxy: Proxy | None) -> Target:
    """Write all of a request's head but the length of its body.

    Raises TransportError (`protocol`) if it would not be exactly one request.
    """
    method = request.method
    forwarded = is_forwarded(url, proxy)
    target = f"http://{url.authority}{url.target}" if forwarded else url.target
    head = _start(method, target, url.authority) + _block(request.headers)
    if forwarded and proxy is not None and (credentials := basic_credentials(proxy)):
        head += _checked([b"proxy-authorization: %b\r\n" % credentials])
    return Target(
        head=head,
        url=url,
        origin=(url.scheme, url.host, url.port, proxy),
        is_head=method == "HEAD",
        bodiless=method in {"GET", "HEAD"},
        proxied=forwarded,
    )


def opening(target: Target, body: bytes) -> bytes:
    """Return the whole head, followed by the body if it is small enough to be copied."""
    if body:
        sent_along = body if len(body) <= SMALL_BODY else b""
        return b"%bcontent-length: %d\r\n\r\n%b" % (target.head, len(body), sent_along)
    return target.head + (b"\r\n" if target.bodiless else b"content-length: 0\r\n\r\n")


@lru_cache(1024)
def _start(method: str, target: str, authority: str) -> bytes:
    if not (method.isascii() and method.isalpha()):
        raise _refused("the method is not a word")
    return _checked([f"{method} {target} HTTP/1.1\r\n".encode(), f"host: {authority}\r\n".encode()])


def _block(headers: Headers) -> bytes:
    """Write headers, those of the connection left out."""
    names = {name for name, _ in headers}
    if not names <= _KNOWN_NAMES:
        for name in names:
            _check_name(name)
    if not names.isdisjoint(_OURS):
        headers = [header for header in headers if header[0] not in _OURS]
    lines = [b"%b: %b\r\n" % header for header in headers]
    if b"accept-encoding" not in names:
        lines.append(b"accept-encoding: identity\r\n")
    return _checked(lines)


def _checked(lines: list[bytes]) -> bytes:
    """Join lines, every one of which has its own end and no other."""
    block = b"".join(lines)
    if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines) or b"\x00" in block:
        raise _refused("a header's value has a line break in it")
    return block


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
