"""Fuzz what vendors send: `python -m tests.fuzz.fuzz_streams --minutes 15 --seed 1`.

What is checked of every input: only declared errors; streams are relayed byte for byte and are
understood alike however they are cut; a reply on the wire is read alike however it is cut.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Hashable
from itertools import pairwise
from typing import Any

import msgspec

from sub2api.errors import ClientError
from sub2api.model.routes import Operation, Wire
from sub2api.model.tokens import Tokens
from sub2api.protocols.dialects import DIALECTS
from sub2api.protocols.interface import Dialect, StreamFacts, StreamOptions
from sub2api.protocols.sse import EventTooLarge, Frames, events
from sub2api.transport.connection import Connection
from sub2api.transport.messages import Deadlines
from sub2api.transport.messages import Target as Wanted
from sub2api.transport.url_guard import parse
from tests.fuzz.engine import Target, cuts_of, main, pieces
from tests.protocols.golden import GOLDEN, relay
from tests.server.corpus import BLOCKS
from tests.transport import replies

_LIMIT = 500
_OPTIONS = StreamOptions(client_model="mine", upstream_model="gpt-5.1", drop_usage=True)


def check_stream(data: bytes) -> Hashable:
    """Check bytes as an event stream of every wire."""
    shapes = []
    for wire, dialect in DIALECTS.items():
        out, facts = relay(dialect, [data])
        assert out == data, wire
        _check_facts(facts)
        edited, edited_facts = relay(dialect, [data], _OPTIONS)
        for cuts in cuts_of(data):
            parts = pieces(data, cuts)
            _check_alike(wire, facts, data, relay(dialect, parts))
            _check_alike(wire, edited_facts, edited, relay(dialect, parts, _OPTIONS))
        shapes.append((facts.state, facts.produced, facts.usage is not None, edited == data))
    _check_frames(data)
    return tuple(shapes)


def _check_alike(
    wire: Wire, facts: StreamFacts, out: bytes, again: tuple[bytes, StreamFacts]
) -> None:
    assert again[0] == out, wire
    if wire is Wire.CHAT:
        # Of events that are no chunks, how many come at once decides whether they count.
        facts = dataclasses.replace(facts, produced=again[1].produced)
    assert again[1] == facts, wire


def _check_facts(facts: StreamFacts) -> None:
    if facts.usage is not None:
        _check_tokens(facts.usage.tokens)
    assert isinstance(facts.model, str)
    assert isinstance(facts.response_id, str)
    assert isinstance(facts.error, dict)


def _check_tokens(tokens: Tokens) -> None:
    for name, value in msgspec.structs.asdict(tokens).items():
        if isinstance(value, int):
            assert value >= 0, name


def _check_frames(data: bytes) -> None:
    """The pieces add up, and no more than the limit and one read is ever held."""
    for cuts in cuts_of(data):
        frames = Frames(_LIMIT)
        out = b""
        for part in pieces(data, cuts):
            try:
                block = frames.feed(part)
            except EventTooLarge:
                assert len(frames.rest()) > _LIMIT
                return
            assert b"".join(event.raw for event in events(block)) == block
            assert len(frames.rest()) <= max(_LIMIT, len(part))
            out += block
        assert out + frames.rest() == data


def check_body(data: bytes) -> Hashable:
    """Check bytes as a whole body, a request's and a reply's, of every wire."""
    return tuple(_check_body(dialect, data) for dialect in DIALECTS.values())


def _check_body(dialect: Dialect, data: bytes) -> Hashable:
    facts = dialect.read_reply(data)
    if facts.usage is not None:
        _check_tokens(facts.usage.tokens)
    restored = dialect.restore_model(data, "mine")
    if _is_json(data):
        assert dialect.restore_model(restored, "mine") == restored
    shape: list[Hashable] = [facts.usage is not None, bool(facts.model), restored == data]
    for operation in (Operation.GENERATE, Operation.COUNT_TOKENS, Operation.EMBED):
        path_model = "" if dialect.wire is not Wire.GEMINI else "gemini"
        try:
            peek = dialect.peek(data, operation, path_model)
        except ClientError as error:
            shape.append((error.status, error.param))
            continue
        shape.append((peek.stream, peek.max_output is None, bool(peek.bound_ids)))
        renamed = dialect.rename_model(data, "other")
        if dialect.wire is not Wire.GEMINI:
            assert dialect.peek(renamed, operation, path_model).model == "other"
    return tuple(shape)


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (ValueError, RecursionError):  # also what is not UTF-8
        return False
    return True


class _Socket(asyncio.Transport):
    """Stands for the connection to an upstream; nothing is ever sent."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def abort(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _Owner:
    """Counts what a pool is told."""

    def __init__(self) -> None:
        self.released: list[bool] = []

    def release(self, connection: Connection, *, reusable: bool) -> None:
        self.released.append(reusable)

    def lost(self, connection: Connection) -> None:
        """Nothing to do."""


_BUFFER = memoryview(bytearray(65536))
_PATIENCE = Deadlines(connect=0, first_byte=0, idle=0)
_URL = parse("http://up.test/")
_TARGETS = [
    Wanted(b"", _URL, ("http", "up.test", 80, None), is_head, is_head, proxied)
    for is_head, proxied in [(False, False), (True, False), (False, True)]
]


def check_reply(data: bytes) -> Hashable:
    """Check bytes as an upstream's answer, then the end of its connection."""
    target = _TARGETS[len(data) % 3 if data[:8] != b"HTTP/1.1" else 0]
    whole = _answered(data, target, (0, len(data)))
    for cuts in cuts_of(data):
        assert _answered(data, target, (0, *cuts, len(data))) == whole, cuts
    return whole[0], len(whole[1]), whole[3], tuple(whole[4])


def _answered(data: bytes, target: Wanted, edges: tuple[int, ...]) -> Any:
    """Return status, headers, body, how it ended, and whether the connection may be used again."""
    owner, socket = _Owner(), _Socket()
    connection = Connection(owner, ("http", "up.test", 80, None), _BUFFER)
    connection.connection_made(socket)
    response = connection._begin(target, _PATIENCE)
    for start, end in pairwise(edges):
        if end > start and not socket.closed and connection._response is not None:
            connection.get_buffer(-1)[: end - start] = data[start:end]
            connection.buffer_updated(end - start)
    if not socket.closed:
        connection.eof_received()
        connection.connection_lost(None)
    assert len(owner.released) == 1
    assert response.complete != (response.error is not None)
    ending = "complete" if response.complete else response.error and response.error.cause
    if not response.status and ending != "complete":
        return 0, [], b"", ending, owner.released
    body = b"".join(response._chunks)
    return response.status, response.headers, body, ending, owner.released


def _reply_seeds() -> list[bytes]:
    named = [value for value in vars(replies).values() if isinstance(value, bytes)]
    odd = [
        b"HTTP/1.1 %b\r\n%b\r\n\r\nabcde" % (status, field)
        for status in (b"200 OK", b"204 No Content", b"304 Not Modified", b"407 x", b"500 x")
        for field in (b"content-length: 5", b"transfer-encoding: chunked", b"x: y")
    ]
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return [*named, *odd, *[head + body for body in BLOCKS["chunks"]]]


def _json_seeds() -> list[bytes]:
    lines = [
        line[6:] for stream in STREAMS for line in stream.splitlines() if line[:6] == b"data: "
    ]
    requests = [
        b'{"model":"m","max_tokens":5,"stream":true,"messages":[{"role":"user","content":"x"}]}',
        b'{"model":"m","input":"x","previous_response_id":"resp_1","store":false}',
        b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}',
        b'{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"maxOutputTokens":7}}',
    ]
    return [*dict.fromkeys(lines), *requests]


STREAMS = [path.read_bytes() for path in sorted(GOLDEN.glob("*/*.sse"))]
_SSE_WORDS = [
    *[b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\n\r\n", b"data: ", b"data:", b"event: "],
    *[b"\xef\xbb\xbf", b"\x00", b'"usage"', b'"model":"x"', b"[DONE]", b"null", b"{}", b"error"],
    *[b"message_start", b"message_delta", b"message_stop", b"response.completed", b"finishReason"],
    *[b'"usage":{"input_tokens":5}', b'"choices":[]', b"-1", b"1e99", b"9" * 30, b'\\"', b":"],
]  # fmt: skip
_JSON_WORDS = [
    *[b'"', b"{", b"}", b"[", b"]", b":", b",", b"null", b"true", b"-1", b"1e99", b"9" * 30, b"\\"],
    *[b'"model":"x",', b'"stream":true,', b'"model":1,', b'"usage":', b"\\ud800", b"\xff", b" "],
    *[b'"max_tokens":', b'"m\\u006fdel":"y",', b"[" * 200, b'{"a":' * 200, b"NaN", b"0.5", b"\x00"],
]  # fmt: skip
TARGETS = [
    Target("streams", check_stream, STREAMS, _SSE_WORDS),
    Target("bodies", check_body, _json_seeds(), _JSON_WORDS),
    Target("replies", check_reply, _reply_seeds(), BLOCKS["codings"] + BLOCKS["ends"]),
]


def loop_for_connections() -> asyncio.AbstractEventLoop:
    """Make a loop that connections find; nothing runs on it."""
    loop = asyncio.new_event_loop()
    asyncio._set_running_loop(loop)
    return loop


if __name__ == "__main__":
    unused = loop_for_connections()
    sys.exit(main(TARGETS))
