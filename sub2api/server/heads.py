"""Read the head of one HTTP/1.1 request, strictly. Source: RFC 9110 and 9112.

llhttp (through httptools) reads the syntax. What it lets pass although two parties could read it
in two ways is refused here: that is how requests are smuggled.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import httptools
import msgspec

from sub2api.gateway.call import Headers, first_values, without_framing

MOST_HEAD = 65536
"""Bytes of a whole head."""
MOST_LINE = 8192
MOST_HEADERS = 100
CHUNKED = -1
"""`Head.length` of a body that comes in chunks."""

_TEXT = bytes(each for each in range(256) if each in b"\t\r\n" or (each >= 32 and each != 127))
_LINE = re.compile(rb"[A-Z-]+ [\x21-\x7e]+ HTTP/[0-9]\.[0-9]\r\n")
"""A request line; llhttp would allow more spaces, RTSP and no version at all."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_VERSIONS = {"1.1", "1.0"}
_known_hosts: set[bytes] = set()
_MOST_KNOWN_HOSTS = 64


class BadRequest(Exception):
    """What arrived is no request that can be served; `status` says so, then the connection ends."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status

    def shown(self) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Return the headers and body that tell the client."""
        text = {"error": {"message": str(self), "type": "invalid_request_error"}}
        return [(b"content-type", b"application/json")], msgspec.json.encode(text)


class Head(msgspec.Struct):
    """A request's head. Header names are lower-case; those that frame the body are left out.

    `fields` has the first value of each header, `length` is the body's, or `CHUNKED`. `memo` is
    shared by all requests with the same head but for its length: whatever follows from the headers
    alone can be kept there.
    """

    method: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    fields: dict[bytes, bytes]
    version: str
    keep_alive: bool
    expects_continue: bool
    upgrades: bool
    memo: dict[Any, Any]
    length: int


UNREAD = Head("GET", "", b"", (), {}, "1.1", False, False, False, {}, 0)
"""Stands for a request that could not be read."""


class _Syntax:
    """What llhttp calls. The headers it finds are split again by `_fields`, which is faster."""

    __slots__ = ("complete", "target")

    def __init__(self) -> None:
        self.target = b""
        self.complete = False

    def on_url(self, target: bytes) -> None:
        """Keep the target; it may come in parts."""
        self.target += target

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self.complete = True


_DECISIVE = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade"})
"""Headers that decide how the message is read: they may stand there once only."""
_FIELD = re.compile(rb"\n([^:\r]+):[ \t]*([^\r]*)")


_heads: dict[bytes, tuple[Any, ...]] = {}
"""Heads that had a Content-Length, that line cut out, and what was read from them.

A client's next head differs from its last one in the length only, as a rule.
"""
_MOST_HEADS = 512
_MOST_KNOWN_HEAD = 4096
"""Larger heads are not kept: anybody may send them."""
_LENGTH_LINE = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,18})(?=\r\n)")


def read_head(data: bytes) -> Head:
    """Read a head, its blank line included. Raises BadRequest."""
    known = known_head(data, len(data))
    if known is not None:
        return known
    head = _read(data)
    line = _LENGTH_LINE.search(data)
    if line is None or len(data) - len(line[0]) > _MOST_KNOWN_HEAD:
        return head
    # With another framing beside the length it would have been refused: only the value can differ.
    if len(_heads) >= _MOST_HEADS:
        del _heads[next(iter(_heads))]
    _heads[data[: line.start()] + data[line.end() :]] = msgspec.structs.astuple(head)[:-1]
    return head


def known_head(data: bytes, end: int) -> Head | None:
    """Return the head that ends at `end` in `data`, if one like it was read before."""
    line = _LENGTH_LINE.search(data, 0, end)
    if line is None:
        return None
    known = _heads.get(data[: line.start()] + data[line.end() : end])
    return None if known is None else Head(*known, int(line[1]))  # type: ignore[call-arg]  # a tuple of unknown length


def _read(data: bytes) -> Head:
    _check_bytes(data)
    if _LINE.match(data) is None:
        raise BadRequest("The request line is not proper HTTP/1.1.")
    syntax = _Syntax()
    parser = httptools.HttpRequestParser(syntax)
    upgrades = False
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        upgrades = True
    except httptools.HttpParserError:
        raise BadRequest("The request is not proper HTTP/1.1.") from None
    if not syntax.complete:
        raise BadRequest("The request is not proper HTTP/1.1.")
    version = parser.get_http_version()
    if version not in _VERSIONS:
        raise BadRequest("Only HTTP/1.1 and HTTP/1.0 are spoken here.", 505)
    headers = _fields(data)
    fields = first_values(headers)
    if len(fields) != len(headers):
        _check_repeated(headers)
    _check_host(fields.get(b"host"), version)
    length = _length(fields, version)
    target, _, query = syntax.target.partition(b"?")
    shown = without_framing(headers)
    return Head(
        method=parser.get_method().decode("ascii"),
        path=_path(target),
        query=query,
        headers=shown,
        fields=first_values(shown),
        version=version,
        keep_alive=_keeps_alive(headers, fields, version),
        expects_continue=b"expect" in fields and _expects(fields[b"expect"], version),
        upgrades=upgrades or b"upgrade" in fields,
        memo={},
        length=length,
    )


def _fields(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Split a head that llhttp has accepted into its headers."""
    found = _FIELD.findall(data)
    if len(found) > MOST_HEADERS:
        raise BadRequest(f"The request has more than {MOST_HEADERS} headers.", 431)
    if b" \r\n" in data or b"\t\r\n" in data:
        return tuple([(name.lower(), value.rstrip(b" \t")) for name, value in found])
    return tuple([(name.lower(), value) for name, value in found])


def _check_bytes(data: bytes) -> None:
    """Refuse what no honest client sends, whatever a parser makes of it."""
    breaks = data.count(b"\n")
    if data.count(b"\r\n") != breaks or data.count(b"\r") != breaks:
        raise BadRequest("A line of the request's head does not end with CRLF.")
    if data.translate(None, _TEXT):
        raise BadRequest("The request's head has control characters in it.")
    if b"\n " in data or b"\n\t" in data:
        raise BadRequest("Folded header lines are not read.")
    if len(data) > MOST_LINE and any(len(line) > MOST_LINE for line in data.split(b"\r\n")):
        raise BadRequest(f"A line of the request's head is longer than {MOST_LINE} bytes.", 431)


def _check_repeated(headers: Headers) -> None:
    names = [name for name, _ in headers]
    for name in _DECISIVE:
        if names.count(name) > 1:
            raise BadRequest(f"The header {name.decode()} is there more than once.")


def _check_host(host: bytes | None, version: str) -> None:
    """A Host with a name and maybe a port (RFC 9112 3.2); HTTP/1.0 may do without."""
    if host is None:
        if version == "1.0":
            return
        raise BadRequest("The request needs a Host header.")
    if host in _known_hosts:
        return
    if not _HOST.fullmatch(host):
        raise BadRequest("The request's Host header is malformed.")
    if len(_known_hosts) < _MOST_KNOWN_HOSTS:
        _known_hosts.add(host)


def _keeps_alive(headers: Headers, fields: dict[bytes, bytes], version: str) -> bool:
    """Whether the connection goes on after this request (RFC 9112 9.3).

    llhttp knows it only until the message is complete, which without a body is at once.
    """
    if b"connection" not in fields:
        return version == "1.1"
    values = b",".join([value for name, value in headers if name == b"connection"])
    options = [each.strip(b" \t") for each in values.lower().split(b",")]
    return b"close" not in options and (version == "1.1" or b"keep-alive" in options)


def _length(fields: dict[bytes, bytes], version: str) -> int:
    """Return the body's length (RFC 9112 6.3), refusing whatever could be understood twice."""
    length = fields.get(b"content-length")
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or version == "1.0":
            raise BadRequest("Transfer-Encoding stands beside Content-Length, or in HTTP/1.0.")
        if coding.lower() != b"chunked":
            raise BadRequest("The only Transfer-Encoding that is read is chunked.", 501)
        return CHUNKED
    if length is None:
        return 0
    if not length.isdigit() or len(length) > 18:
        raise BadRequest("The Content-Length is not one whole number.")
    return int(length)


def _expects(expectation: bytes, version: str) -> bool:
    if version == "1.0":
        return False
    if expectation.lower() != b"100-continue":
        raise BadRequest("The only expectation that can be met is 100-continue.", 417)
    return True


def _path(target: bytes) -> str:
    path = target.decode("ascii")
    if "%" not in path:
        return path
    path = unquote(path)
    if _CONTROLS.search(path):
        raise BadRequest("The request's path has control characters in it.")
    return path
