"""Request heads for tests, written shortly."""

from __future__ import annotations

POST = b"POST /v1/messages HTTP/1.1"
GET = b"GET /v1/models HTTP/1.1"
HOST = b"Host: gw.test"
LIMIT = 4096


def head(line: bytes, *fields: bytes, host: bytes | None = HOST) -> bytes:
    """Return a head: a request line, a Host, further header lines, the blank line."""
    lines = [line, *([] if host is None else [host]), *fields]
    return b"".join(each + b"\r\n" for each in lines) + b"\r\n"


def post(body: bytes, *fields: bytes, line: bytes = POST) -> bytes:
    """Return a request with a body of a told length."""
    return head(line, *fields, b"Content-Length: %d" % len(body)) + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", line: bytes = POST) -> bytes:
    """Return a request with its body in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks)
    return head(line, b"Transfer-Encoding: chunked") + body + end
