"""One exchange over a real socket: framing, cuts, deadlines, back-pressure, early answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from sub2api.clock import Clock
from sub2api.errors import TransportError
from sub2api.transport.connection import Connection
from sub2api.transport.encoding import prepare
from sub2api.transport.lanes import Lane
from sub2api.transport.messages import Deadlines, Request
from sub2api.transport.pool import Pool
from sub2api.transport.url_guard import parse
from tests.transport.peers import (
    OK,
    answering,
    ask,
    listening,
    read_request,
)  # fmt: skip
from tests.transport.replies import (
    CHUNKED,
    EMPTY,
    INFORMED,
    LENGTH,
    LOUD,
    OLD,
    TO_CLOSE,
    exchange,
    in_pieces,
)


def splits() -> Iterator[tuple[bytes, bytes, int]]:
    corpus = [
        (CHUNKED, b"hello, world"), (LENGTH, b"hello, world"), (INFORMED, b"hello, world"),
        (EMPTY, b""), (LOUD, b"hello, world"), (TO_CLOSE, b"hello, world"), (OLD, b"hello, world"),
    ]  # fmt: skip
    for reply, body in corpus:
        for cut in range(len(reply)):
            yield reply, body, cut


async def test_a_reply_is_the_same_wherever_it_is_split(pool: Pool) -> None:
    for reply, body, cut in splits():
        async with listening(in_pieces(reply, cut, then_close=True)) as peer:
            assert await exchange(pool, peer) == (200, body), (reply, cut)


async def test_a_reply_that_comes_byte_by_byte_is_the_same(pool: Pool) -> None:
    for reply in (CHUNKED, INFORMED, TO_CLOSE):
        cuts = range(1, len(reply))
        async with listening(in_pieces(reply, *cuts, then_close=True)) as peer:
            assert await exchange(pool, peer) == (200, b"hello, world")


async def test_a_reply_that_is_cut_short_anywhere_is_never_taken_for_complete(pool: Pool) -> None:
    for reply in (CHUNKED, LENGTH, INFORMED, OLD):
        for cut in range(len(reply)):
            async with listening(in_pieces(reply[:cut], then_close=True)) as peer:
                with pytest.raises(TransportError) as caught:
                    await exchange(pool, peer)
            assert caught.value.cause == ("truncated" if cut else "reset"), (reply, cut)
            assert caught.value.sent
    assert pool.connections("a") == (0, 0)


async def test_what_arrived_before_a_cut_can_be_read(pool: Pool) -> None:
    async with listening(in_pieces(LENGTH[:-5], then_close=True)) as peer:
        response = await ask(pool, peer.url)
        assert await response.chunk() == b"hello, "
        for _ in range(2):
            with pytest.raises(TransportError, match="closed") as caught:
                await response.chunk()
            assert caught.value.cause == "truncated"


@pytest.mark.parametrize("reply", [b"", LENGTH[:10], LENGTH[:-3]])
async def test_a_reset_is_told_from_an_end(pool: Pool, reply: bytes) -> None:
    async with listening(in_pieces(reply, reset=True)) as peer:
        with pytest.raises(TransportError) as caught:
            await exchange(pool, peer)
    assert (caught.value.cause, caught.value.sent) == ("reset", True)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked \t\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabX\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nab",
        b"HTTP/0.9 200 OK\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 099 Low\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: compress\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + OK,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 101 + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 65536 + b"\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 400_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: " + b"y" * 400_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;" + b"y" * 400_000,
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=lambda reply: repr(reply[:80]),
)
async def test_what_is_ambiguous_or_no_http_is_refused(pool: Pool, reply: bytes) -> None:
    async with listening(in_pieces(reply)) as peer:
        with pytest.raises(TransportError) as caught:
            await exchange(pool, peer)
        assert (caught.value.cause, caught.value.sent) == ("protocol", True)
        assert pool.connections("a") == (0, 0)
        await peer.until_open(0)


async def test_a_large_head_within_limits_is_accepted(pool: Pool) -> None:
    head = b"".join(b"x-%d: %s\r\n" % (number, b"y" * 600) for number in range(99))
    async with listening(answering(b"HTTP/1.1 200 OK\r\n" + head + OK[17:])) as peer:
        response = await ask(pool, peer.url)
        assert len(response.headers) == 100
        assert await response.read(9) == b"ok"


async def test_the_head_is_given_as_it_came_with_lower_case_names(pool: Pool) -> None:
    reply = (
        b"HTTP/1.1 429 Slow down\r\nSet-Cookie: a=1\r\nRETRY-AFTER: 7 \r\nset-cookie: b\xe9\r\n"
        b"Empty:\r\nContent-Length: 0\r\n\r\n"
    )
    async with listening(answering(reply)) as peer:
        response = await ask(pool, peer.url)
    assert response.status == 429
    assert response.headers == [
        (b"set-cookie", b"a=1"), (b"retry-after", b"7 "), (b"set-cookie", b"b\xe9"),
        (b"empty", b""), (b"content-length", b"0"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("POST", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 400\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n\r\n"),
    ],
)
async def test_replies_without_a_body_keep_the_connection(
    pool: Pool, method: str, reply: bytes
) -> None:
    async with listening(answering(reply)) as peer:
        for _ in range(3):
            _, body = await exchange(pool, peer, method=method, body=b"")
            assert body == b""
        assert peer.accepted == 1


async def test_a_body_where_none_may_be_ends_the_connection(pool: Pool) -> None:
    async with listening(answering(b"HTTP/1.1 204 No Content\r\n\r\nsurprise")) as peer:
        assert await exchange(pool, peer) == (204, b"")
        await peer.until_open(0)
    async with listening(answering(LENGTH)) as peer:
        assert await exchange(pool, peer, method="HEAD", body=b"") == (200, b"")
        await peer.until_open(0)


async def test_bytes_after_a_complete_reply_are_never_the_next_reply(pool: Pool) -> None:
    smuggled = LENGTH + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong"
    async with listening(answering(smuggled)) as peer:
        for _ in range(3):
            assert await exchange(pool, peer) == (200, b"hello, world")
        assert peer.accepted == 3


@pytest.mark.parametrize("cause", ["first_byte_timeout", "idle_timeout"])
async def test_silence_has_a_deadline(pool: Pool, cause: str) -> None:
    reply = LENGTH[:20] if cause == "first_byte_timeout" else LENGTH[:-2]
    patience = Deadlines(2, 0.1, 5) if cause == "first_byte_timeout" else Deadlines(2, 5, 0.1)
    began = asyncio.get_running_loop().time()
    async with listening(in_pieces(reply)) as peer:
        with pytest.raises(TransportError) as caught:
            await exchange(pool, peer, deadlines=patience)
        assert (caught.value.cause, caught.value.sent) == (cause, True)
        assert 0.09 < asyncio.get_running_loop().time() - began < 2
        await peer.until_open(0)
    assert pool.connections("a") == (0, 0)


async def test_the_idle_deadline_begins_anew_with_every_chunk(pool: Pool) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.05)
            writer.write(b"x")
        await reader.read()

    async with listening(drip) as peer:
        response = await ask(pool, peer.url, deadlines=Deadlines(2, 2, 0.15))
        assert await response.read(8) == b"x" * 8


async def test_chunk_framing_without_a_body_is_silence(pool: Pool) -> None:
    async def tease(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;")
        while True:
            await asyncio.sleep(0.02)
            writer.write(b"x")

    async with listening(tease) as peer:
        with pytest.raises(TransportError) as caught:
            await exchange(pool, peer, deadlines=Deadlines(2, 2, 0.15))
    assert caught.value.cause == "idle_timeout"


async def test_a_reader_that_pauses_is_not_idleness_of_the_upstream(pool: Pool) -> None:
    async with listening(in_pieces(CHUNKED, 60)) as peer:
        response = await ask(pool, peer.url, deadlines=Deadlines(2, 2, 0.05))
        await asyncio.sleep(0.15)
        assert await response.read(99) == b"hello, world"


async def test_deadlines_of_zero_are_off(pool: Pool) -> None:
    async with listening(in_pieces(LENGTH, 5, 60)) as peer:
        assert (await exchange(pool, peer, deadlines=Deadlines(0, 0, 0)))[0] == 200


async def test_one_timer_serves_all_calls_of_a_connection(pool: Pool) -> None:
    async with listening(answering(CHUNKED)) as peer:
        for _ in range(20):
            await exchange(pool, peer, deadlines=Deadlines(2, 0.2, 600))
        await asyncio.sleep(0.25)  # the first call's deadline passes in idleness
        assert await exchange(pool, peer) == (200, b"hello, world")
        assert peer.accepted == 1


async def test_a_connection_that_is_down_sends_nothing() -> None:
    lane = Lane(Clock(), 90.0)
    origin = ("http", "x.test", 80, None)
    assert await lane.admit(origin, 1) is None
    connection = Connection(lane, origin, memoryview(bytearray(16)))
    target = prepare(Request("GET", "", ()), parse("http://x.test/"), None)
    lane.opened(connection)
    with pytest.raises(TransportError) as caught:
        await connection.exchange(target, b"", Deadlines())
    assert (caught.value.cause, caught.value.sent) == ("reset", False)
    assert lane.is_empty


async def test_a_shorter_deadline_replaces_a_longer_one(pool: Pool) -> None:
    async with listening(in_pieces(LENGTH[:-2])) as peer, asyncio.timeout(2):
        response = await ask(pool, peer.url, deadlines=Deadlines(2, 600, 600))
        assert await response.chunk() == b"hello, wor"
        response.close()
        with pytest.raises(TransportError) as caught:
            await exchange(pool, peer, deadlines=Deadlines(2, 600, 0.05))
    assert caught.value.cause == "idle_timeout"
