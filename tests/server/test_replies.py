"""Replies as bytes on the client's connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sub2api.server.replies import Dates, LinkReply

DATE = b"Mon, 01 Jan 2024 00:00:00 GMT"
LARGE = bytes(20_000)


class Wire:
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        self.keep_alive = True
        self.writable = True
        self.writes: list[bytes] = []
        self.ends: list[bool] = []
        self.waits = 0
        self.dates = Dates()
        self.dates.line = b"date: %b\r\n" % DATE

    @property
    def sent(self) -> bytes:
        return b"".join(self.writes)

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def write_several(self, parts: list[bytes]) -> None:
        self.writes.extend(parts)

    async def until_writable(self) -> None:
        self.waits += 1
        await asyncio.sleep(0)
        self.writable = True

    def replied(self, reply: LinkReply, *, complete: bool) -> None:
        self.ends.append(complete)


def reply_of(method: str = "POST", version: str = "1.1") -> tuple[LinkReply, Wire]:
    wire = Wire()
    return LinkReply(wire, method, version), wire


def head_of(status: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, b"date: " + DATE, *lines, b"", b""])


async def test_a_body_without_length_goes_in_chunks() -> None:
    reply, wire = reply_of()
    reply.start(200, [(b"x-one", b"a"), (b"content-type", b"text/event-stream")])
    assert wire.writes == []
    await reply.send(b"data: 1\n\n")
    await reply.send(b"")
    await reply.send(b"x" * 16)
    await reply.end()
    lines = [b"x-one: a", b"content-type: text/event-stream", b"transfer-encoding: chunked"]
    assert wire.writes == [
        head_of(b"200 OK", *lines) + b"9\r\ndata: 1\n\n\r\n",
        b"10\r\n" + b"x" * 16 + b"\r\n",
        b"0\r\n\r\n",
    ]
    assert wire.ends == [True]


async def test_a_body_with_length_goes_as_it_is() -> None:
    reply, wire = reply_of()
    reply.start(404, [(b"content-length", b"2")])
    await reply.send(b"ab")
    await reply.end()
    assert wire.writes == [head_of(b"404 Not Found", b"content-length: 2") + b"ab"]
    assert wire.ends == [True]


@pytest.mark.parametrize("length", [(), ((b"content-length", b"20000"),)])
async def test_large_parts_are_not_joined(length: tuple[tuple[bytes, bytes], ...]) -> None:
    reply, wire = reply_of()
    reply.start(200, length)
    await reply.send(LARGE)
    await reply.send(LARGE)
    assert sum(each is LARGE for each in wire.writes) == 2
    framed = b"" if length else b"4e20\r\n"
    after = b"" if length else b"\r\n"
    assert wire.sent.partition(b"\r\n\r\n")[2] == (framed + LARGE + after) * 2


def test_a_whole_reply_is_one_write_and_an_end() -> None:
    reply, wire = reply_of()
    reply.whole(404, [(b"x-one", b"a")], b"ab")
    assert wire.writes == [head_of(b"404 Not Found", b"x-one: a", b"content-length: 2") + b"ab"]
    assert wire.ends == [True]
    with pytest.raises(RuntimeError, match="begun"):
        reply.whole(200, [], b"")
    assert len(wire.writes) == 1


def test_a_large_whole_reply_is_not_copied() -> None:
    reply, wire = reply_of()
    reply.whole(200, [], LARGE)
    assert wire.writes[1] is LARGE
    assert wire.ends == [True]


def test_a_whole_reply_to_nobody_is_not_written() -> None:
    reply, wire = reply_of()
    reply.left()
    reply.whole(200, [], b"ab")
    assert wire.writes == []


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 204), ("GET", 304)])
def test_a_whole_reply_that_may_have_no_body_has_none(method: str, status: int) -> None:
    reply, wire = reply_of(method)
    reply.whole(status, [], b"never")
    assert b"never" not in wire.sent
    assert wire.ends == [True]


async def test_an_empty_body_is_a_head_and_an_end() -> None:
    reply, wire = reply_of()
    reply.start(200, [])
    reply.finish()
    assert wire.writes == [head_of(b"200 OK", b"transfer-encoding: chunked") + b"0\r\n\r\n"]
    reply, wire = reply_of()
    reply.start(200, [(b"content-length", b"0")])
    reply.finish()
    assert wire.writes == [head_of(b"200 OK", b"content-length: 0")]


@pytest.mark.parametrize(
    ("method", "status", "line"),
    [("HEAD", 200, b"200 OK"), ("POST", 204, b"204 No Content"), ("GET", 304, b"304 Not Modified")],
)
async def test_some_replies_have_no_body(method: str, status: int, line: bytes) -> None:
    reply, wire = reply_of(method)
    reply.start(status, [])
    await reply.send(b"never")
    reply.try_send(LARGE)
    await reply.end()
    assert wire.sent == head_of(line)
    assert wire.ends == [True]


async def test_a_head_reply_keeps_the_length_it_describes() -> None:
    reply, wire = reply_of("HEAD")
    reply.start(200, [(b"content-length", b"12")])
    await reply.end()
    assert wire.sent == head_of(b"200 OK", b"content-length: 12")


async def test_http_1_0_has_no_chunks() -> None:
    reply, wire = reply_of("GET", "1.0")
    reply.start(200, [])
    await reply.send(b"ab")
    await reply.end()
    assert not wire.keep_alive
    assert wire.sent == head_of(b"200 OK", b"connection: close") + b"ab"
    reply, wire = reply_of("GET", "1.0")
    reply.start(200, [(b"content-length", b"2")])
    await reply.send(b"ab")
    assert wire.keep_alive
    lines = (b"content-length: 2", b"connection: keep-alive")
    assert wire.sent == head_of(b"200 OK", *lines) + b"ab"


async def test_the_last_reply_of_a_connection_says_so() -> None:
    reply, wire = reply_of()
    wire.keep_alive = False
    reply.start(200, [(b"content-length", b"0")])
    reply.finish()
    assert wire.sent == head_of(b"200 OK", b"content-length: 0", b"connection: close")


async def test_a_status_without_a_name_has_one() -> None:
    for status, line in ((529, b"529 Unknown"), (499, b"499 Unknown"), (431, b"431 Request")):
        reply, wire = reply_of()
        reply.start(status, [(b"content-length", b"0")])
        reply.finish()
        assert wire.sent.startswith(b"HTTP/1.1 " + line)


@pytest.mark.parametrize(
    "header",
    [(b"a", b"b\r\nc: d"), (b"a", b"b\nc"), (b"a", b"b\rc"), (b"a\r\nb", b"c"), (b"a", b"\r\n")],
)
async def test_a_header_with_a_line_break_is_never_written(header: tuple[bytes, bytes]) -> None:
    reply, wire = reply_of()
    with pytest.raises(RuntimeError):
        reply.start(200, [header])
    assert wire.writes == []


async def test_a_reply_begins_once() -> None:
    reply, _ = reply_of()
    assert not reply.started
    reply.start(200, [])
    assert reply.started
    with pytest.raises(RuntimeError):
        reply.start(200, [])


async def test_a_slow_reader_is_waited_for() -> None:
    reply, wire = reply_of()
    reply.start(200, [])
    await reply.send(b"a")
    assert wire.waits == 0
    wire.writable = False
    await reply.send(b"b")
    assert wire.waits == 1
    wire.writable = False
    written = len(wire.writes)
    reply.try_send(b": keep-alive\n\n")
    assert len(wire.writes) == written
    wire.writable = True
    reply.try_send(b"c")
    assert wire.writes[-1] == b"1\r\nc\r\n"


async def test_a_cut_reply_is_not_finished() -> None:
    reply, wire = reply_of()
    reply.start(200, [])
    await reply.send(b"a")
    reply.abort()
    reply.finish()
    reply.abort()
    assert wire.ends == [False]
    assert not wire.sent.endswith(b"0\r\n\r\n")


async def test_a_finished_reply_is_finished_once() -> None:
    reply, wire = reply_of()
    reply.start(200, [])
    await reply.end()
    await reply.end()
    reply.abort()
    assert wire.ends == [True]
    assert wire.sent.count(b"0\r\n\r\n") == 1


@pytest.mark.parametrize("end", [LinkReply.finish, LinkReply.abort])
async def test_who_has_left_is_told_nothing(end: Callable[[LinkReply], None]) -> None:
    reply, wire = reply_of()
    left: list[bool] = []
    reply.on_gone = lambda: left.append(reply.gone)
    reply.start(200, [])
    reply.left()
    reply.left()
    assert left == [True]
    await reply.send(b"a")
    reply.try_send(b"a")
    end(reply)
    assert wire.writes == wire.ends == []


async def test_nobody_need_listen_for_the_clients_leaving() -> None:
    reply, _ = reply_of()
    reply.left()
    assert reply.gone
