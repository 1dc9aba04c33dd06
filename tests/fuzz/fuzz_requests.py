"""Fuzz what clients send: `python -m tests.fuzz.fuzz_requests --minutes 15 --seed 1`.

What is checked of every input: only declared errors; the same result however it is cut; a head
that is known is read like a new one; and h11, where it accepts the same request, has read the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from functools import partial

import h11
import msgspec

from sub2api.errors import ClientError
from sub2api.gateway.bodies import decoded
from sub2api.server import heads
from sub2api.server.heads import BadRequest
from sub2api.server.incoming import ChunkedBody
from tests.fuzz.engine import Target, cuts_of, main, pieces
from tests.server.conversations import Outcome, understood
from tests.server.corpus import BLOCKS, CASES
from tests.server.wire import LIMIT

_MOST_PLAIN = 10_000


def check_request(data: bytes) -> Hashable:
    """Check a client's bytes as a conversation; return its shape."""
    whole = understood(data)
    for cuts in cuts_of(data):
        found = understood(data, cuts)
        if whole[-1] == ("waits",) and found[-1] == ("bad",):
            # What comes in pieces may be seen to be hopeless earlier, never later.
            assert found[:-1] == whole[:-1], cuts
        else:
            assert found == whole, cuts
    _check_known_heads(data)
    _check_against_h11(data, whole)
    return tuple(_shape(item) for item in whole)


def _shape(item: tuple[object, ...]) -> Hashable:
    head = item[0]
    if not isinstance(head, heads.Head):
        return item[:2] if item[0] == "refused" else item[0]
    names = frozenset(name for name, _ in head.headers if len(name) < 20)
    return head.method, head.version, head.keep_alive, head.length, len(head.headers), names


def _check_known_heads(data: bytes) -> None:
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return
    fresh = _fate(partial(heads._read, data[:end]))
    assert fresh == _fate(partial(heads.read_head, data[:end])), "first reading"
    assert fresh == _fate(partial(heads.read_head, data[:end])), "second reading"


def _fate(read: Callable[[], heads.Head]) -> object:
    try:
        return msgspec.structs.replace(read(), memo={})
    except BadRequest as error:
        return str(error), error.status


def _check_against_h11(data: bytes, ours: Outcome) -> None:
    """Whatever both accept, both must have read alike: else one of them can be smuggled past."""
    for mine, theirs in zip(ours, _as_h11_reads(data), strict=False):
        head = mine[0]
        if not isinstance(head, heads.Head):
            return
        target = head.query
        assert (head.method, target, mine[2]) == theirs
        if not head.keep_alive:
            return


def _as_h11_reads(data: bytes) -> list[tuple[str, bytes, bytes]]:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=heads.MOST_HEAD)
    connection.receive_data(data)
    found: list[tuple[str, bytes, bytes]] = []
    method, query, body = "", b"", b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                method = event.method.decode().upper()
                query, body = event.target.partition(b"?")[2], b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                found.append((method, query, body))
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
            else:
                return found
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return found


def check_chunks(data: bytes) -> Hashable:
    """Check bytes as a body in chunks."""
    fates = []
    for cuts in ((), *cuts_of(data)):
        body = ChunkedBody(LIMIT)
        rest: bytes | None = None
        fate: Hashable = "waits"
        try:
            for piece in pieces(data, cuts):
                if rest is None:
                    rest = body.feed(piece)
                else:
                    rest += piece
        except (BadRequest, ClientError) as error:
            fate = type(error).__name__
        if rest is not None:
            assert data.endswith(rest)
            fate = (b"".join(body.take()), rest)
        fates.append(fate)
    whole = fates[0]
    for fate in fates[1:]:
        assert fate == whole or (whole == "waits" and fate in {"BadRequest", "ClientError"})
    return whole if isinstance(whole, str) else (len(whole[0]), bool(whole[1]))  # type: ignore[index,arg-type]


def check_encoded(data: bytes) -> Hashable:
    """Check bytes as a compressed body: its first byte chooses how."""
    encodings = ["gzip", "x-gzip", "deflate", "zstd", "identity", "br", " GZip "]
    encoding = encodings[data[0] % len(encodings)] if data else ""
    try:
        plain = decoded(data[1:], encoding, _MOST_PLAIN)
    except ClientError as error:
        return encoding, error.status
    assert len(plain) <= _MOST_PLAIN
    return encoding, len(plain).bit_length()


def _encoded_seeds() -> list[bytes]:
    import gzip
    import zlib

    import zstandard

    plain = [b"", b'{"model":"x"}', b"a" * 30_000, bytes(range(256)) * 8]
    return [
        *[b"\x00" + gzip.compress(each) for each in plain],
        b"\x00" + gzip.compress(b"a") + gzip.compress(b"b"),
        *[b"\x02" + zlib.compress(each) for each in plain],
        *[b"\x03" + zstandard.compress(each) for each in plain],
        b"\x03" + zstandard.compress(b"a") * 2,
        b"\x04plain",
    ]


_WORDS = sorted(
    {
        *[word for words in BLOCKS.values() for word in words if len(word) < 100],
        *[b"\r\n", b"\r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"Host: "],
        *[b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n"],
        *[b"Upgrade: h2c\r\n", b"Connection: close\r\n", b"0\r\n\r\n", b"5\r\nabcde\r\n"],
        *[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b" HTTP/1.1\r\n", b"POST /v1/messages", b"GET /"],
    }
)
_CHUNKED = [
    raw.partition(b"\r\n\r\n")[2] for name, raw in CASES.items() if name.startswith("chunks")
]
TARGETS = [
    Target("requests", check_request, [raw for raw in CASES.values() if len(raw) < 9000], _WORDS),
    Target("chunks", check_chunks, _CHUNKED, BLOCKS["chunks"] + BLOCKS["ends"]),
    Target("encoded", check_encoded, _encoded_seeds(), [b"\x00", b"\xff", bytes(16)]),
]

if __name__ == "__main__":
    sys.exit(main(TARGETS))
