"""From a client's bytes to requests. No I/O: whoever owns the connection feeds and asks."""

from __future__ import annotations

import re

import msgspec

from sub2api.errors import ClientError
from sub2api.gateway.bodies import BULK, too_large
from sub2api.gateway.routes import Match, RouteError, is_gateway, match
from sub2api.model.routes import Wire
from sub2api.server.heads import (
    CHUNKED,
    MOST_HEAD,
    MOST_LINE,
    BadRequest,
    Head,
    known_head,
    read_head,
)
from sub2api.server.incoming import ChunkedBody, SizedBody

_REQUEST_LINE = re.compile(rb"[A-Z]+ ([^ ?\r\n]+)(?:\?[^ \r\n]*)? HTTP/1\.[01]\r\n")
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Request(msgspec.Struct):
    """A request of the gateway's. `complete` is False while its body is still on its way."""

    head: Head
    match: Match
    body: bytes = b""
    complete: bool = True
    parts: list[bytes] | None = None
    """A large body: putting it together takes long, and is left to whoever takes the request."""


class Elsewhere:
    """The request that begins here, and all bytes from here on, are for somebody else."""


class Refused(Exception):
    """A request of the gateway's is refused before its body was read. `error` is the refusal.

    `in_step`: the next request begins where the reading stands; otherwise nobody knows where.
    """

    def __init__(self, error: ClientError, head: Head, wire: Wire, *, in_step: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.head = head
        self.wire = wire
        self.in_step = in_step


ELSEWHERE = Elsewhere()


class Intake:
    """Reads one connection's requests, one after the other. `limit` bounds a body, in bytes."""

    __slots__ = ("_blank", "_body", "_first", "_judged", "_limit", "_request", "_seen", "buffer")

    def __init__(self, limit: int) -> None:
        self.buffer = b""
        self._limit = limit
        self._first = True
        self._blank = False
        """Whether the empty line that may stand before a request has been passed over."""
        self._judged = False
        """Whether the request line is known to be ours: it is not looked at with every byte."""
        self._seen = 0
        """Up to here there is no end of the head."""
        self._request: Request | None = None
        self._body: SizedBody | ChunkedBody | None = None

    @property
    def arriving(self) -> Request | None:
        """The request whose body is on its way."""
        return self._request

    @property
    def idle(self) -> bool:
        """Whether nothing of a request has been read yet."""
        return not self.buffer and self._request is None

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        self.buffer = self.buffer + data if self.buffer else data

    def take(self) -> bytes:
        """Give all unread bytes away."""
        taken, self.buffer = self.buffer, b""
        return taken

    def go_on(self, data: bytes) -> None:
        """Begin anew, behind requests that somebody else has read."""
        self.buffer = data
        self._first = self._blank = self._judged = False
        self._seen = 0

    def whole(self, data: bytes) -> Request | None:
        """Return the request that `data` is, if it is exactly one and its head is known.

        The short way for what most reads bring; None says nothing but that `feed` and `next` must
        look. Only to be called when nothing is held (`idle`).
        """
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            return None
        head = known_head(data, end)
        if head is None or head.length != len(data) - end or head.length > self._limit:
            return None
        found = head.memo.get("match")
        if found is None:
            return None
        self._first = self._blank = False
        return Request(head, found, data[end:])

    def next(self) -> Request | Elsewhere | None:
        """Return what the bytes so far make: a request, somebody else's, None for not enough.

        A request whose body has not come yet is returned twice: with its head, then complete.
        Raises BadRequest and Refused; there is nothing to read after a BadRequest.
        """
        if self._request is not None:
            return self._read_body(self._request)
        if not self._judged and self._is_elsewhere():
            return ELSEWHERE
        buffer = self.buffer
        if self._first and _PREFACE.startswith(buffer):
            return None
        end = buffer.find(b"\r\n\r\n", self._seen) + 4
        if end < 4:
            self._check_partial()
            self._seen = max(0, len(buffer) - 3)
            return None
        if end > MOST_HEAD:
            raise _head_too_large()
        head = read_head(buffer[:end])
        if head.upgrades or not is_gateway(head.path):
            return ELSEWHERE
        self._first = self._blank = self._judged = False
        self._seen = 0
        self.buffer = buffer[end:]
        return self._accept(head)

    def _accept(self, head: Head) -> Request:
        """A head of ours is whole."""
        try:
            found = head.memo.get("match") or match(head.method, head.path, head.fields)
            head.memo["match"] = found
        except RouteError as error:
            # A body can be passed over only if it is here already.
            in_step = 0 <= head.length <= len(self.buffer)
            if in_step:
                self.buffer = self.buffer[head.length :]
            raise Refused(error, head, error.wire, in_step=in_step) from None
        if head.length > self._limit:
            raise Refused(too_large(self._limit), head, found.wire, in_step=False)
        request = Request(head, found)
        if 0 <= head.length <= len(self.buffer):
            request.body = self.buffer[: head.length]
            self.buffer = self.buffer[head.length :]
            return request
        request.complete = False
        self._request = request
        self._body = ChunkedBody(self._limit) if head.length == CHUNKED else SizedBody(head.length)
        return request

    def _read_body(self, request: Request) -> Request | None:
        body = self._body
        if body is None or not self.buffer:
            return None
        try:
            rest = body.feed(self.take())
        except ClientError as error:
            raise Refused(error, request.head, request.match.wire, in_step=False) from None
        if rest is None:
            return None
        self.buffer = rest
        parts = body.take()
        if sum(map(len, parts)) < BULK:
            request.body = b"".join(parts)
        else:
            request.parts = parts
        request.complete = True
        self._request = self._body = None
        return request

    def _is_elsewhere(self) -> bool:
        """Whether the request line is somebody else's: another path, or HTTP/2."""
        if self.buffer.startswith(b"\r\n") and not self._blank:
            # An empty line before a request line is passed over (RFC 9112 2.2); one is enough.
            self._blank = True
            self._seen = 0
            self.buffer = self.buffer[2:]
        buffer = self.buffer
        if self._first and buffer.startswith(b"PRI"):
            return buffer.startswith(_PREFACE)
        if buffer.find(b"\n", 0, MOST_LINE + 2) < 0:
            return False
        self._judged = True
        line = _REQUEST_LINE.match(buffer, 0, MOST_LINE + 2)
        if line is None:
            return False
        path = line[1]
        return b"%" not in path and not is_gateway(path.decode("latin-1"))

    def _check_partial(self) -> None:
        """Refuse at once what no further bytes can make good."""
        buffer = self.buffer
        if len(buffer) > MOST_HEAD:
            raise _head_too_large()
        line_end = buffer.find(b"\n")
        if line_end < 0:
            if len(buffer) > MOST_LINE + buffer.endswith(b"\r"):
                raise BadRequest(f"The request line is longer than {MOST_LINE} bytes.", 431)
            if buffer[:1] not in b"\r" and not buffer[:1].isalpha():
                raise BadRequest("The request is not proper HTTP/1.1.")
        elif buffer.find(b"\n\n", self._seen) >= 0 or not buffer[:line_end].endswith(b"\r"):
            raise BadRequest("A line of the request's head does not end with CRLF.")


def _head_too_large() -> BadRequest:
    return BadRequest("The request's head is larger than 64 KiB.", 431)
