"""One exchange over a real socket: framing, cuts, deadlines, back-pressure, early answers."""

from __future__ import annotations

import asyncio
import struct
import socket
from collections.abc import Iterator

import pytest
from tests.transport.peers import (
    OK, Peer, Script, answering, ask, deaf, listening, pooling, read_head, read_request, silent,
)  # fmt: skip

from sub2api.errors import TransportError
from sub2api.transport.messages import Deadlines
from sub2api.transport.pool import Pool
from sub2api.transport.response import HIGH_WATER, PooledResponse

CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5;name=value\r\nhello\r\n1\r\n,\r\n6\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n"
)
LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx-id: 7\r\n\r\nhello, world"
INFORMED = b"HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + LENGTH
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
TO_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello, world"
LOUD = CHUNKED.replace(b"transfer-encoding: chunked", b"Transfer-Encoding:CHUNKED")
OLD = b"HTTP/1.0 200 OK\r\ncontent-length: 12\r\n\r\nhello, world"


def in_pieces(reply: bytes, *cuts: int, then_close: bool = False, reset: bool = False) -> Script:
    """Answer one request with `reply`, sent in pieces that arrive one by one."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for start, end in zip((0, *cuts), (*cuts, len(reply)), strict=True):
            writer.write(reply[start:end])
            for _ in range(4):  # the other side runs on the same loop: it reads now
                await asyncio.sleep(0)
        if reset:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif not then_close:
            await reader.read()

    return script


async def exchange(pool: Pool, peer: Peer, **options: object) -> tuple[int, bytes]:
    response = await ask(pool, peer.url, **options)
    try:
        return response.status, await response.read(1 << 20)
    finally:
        response.close()


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
        got = b""
        with pytest.raises(TransportError, match="closed") as caught:
            while True:
                got += await response.chunk()
    assert got == b"hello, "
    assert caught.value.cause == "truncated"
    with pytest.raises(TransportError):
        await response.chunk()


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
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
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
        (b"set-cookie", b"a=1"), (b"retry-after", b"7"), (b"set-cookie", b"b\xe9"),
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


def flood(sent: list[int], size: int) -> Script:
    """Send a body of `size` bytes as fast as it is taken, counting in `sent`."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent[0] < size:
            piece = b"x" * min(65536, size - sent[0])
            writer.write(piece)
            await writer.drain()
            sent[0] += len(piece)
        await reader.read()

    return script


async def test_a_slow_reader_holds_at_most_256_kib_of_50_mb(pool: Pool) -> None:
    size, sent, got, most = 50_000_000, [0], 0, 0
    async with listening(flood(sent, size)) as peer:
        response = await ask(pool, peer.url)
        assert isinstance(response, PooledResponse)
        await asyncio.sleep(0.2)
        assert sent[0] < size / 2  # the upstream is held up: kernel buffers are full
        while data := await response.chunk():
            got += len(data)
            most = max(most, len(data), response.held)
            for _ in range(3):
                await asyncio.sleep(0)
                most = max(most, response.held)
        assert got == size
        assert HIGH_WATER <= most <= 262144
        assert pool.connections("a") == (1, 1)


async def test_a_closed_response_lets_go_of_everything(pool: Pool) -> None:
    sent = [0]
    async with listening(flood(sent, 50_000_000)) as peer:
        response = await ask(pool, peer.url)
        assert isinstance(response, PooledResponse)
        await response.chunk()
        response.close()
        response.close()
        assert response.held == 0
        with pytest.raises(TransportError, match="was closed"):
            await response.chunk()
        await peer.until_open(0)
    assert pool.connections("a") == (0, 0)


async def test_closing_wakes_whoever_waits_for_a_chunk(pool: Pool) -> None:
    async with listening(in_pieces(LENGTH[:-2])) as peer, asyncio.TaskGroup() as tasks:
        response = await ask(pool, peer.url)
        assert await response.chunk() == b"hello, wor"

        async def reader() -> str:
            with pytest.raises(TransportError) as caught:
                await response.chunk()
            return caught.value.cause

        waiting = tasks.create_task(reader())
        await asyncio.sleep(0.02)
        response.close()
        assert await waiting == "reset"


async def test_a_body_larger_than_the_limit_is_refused(pool: Pool) -> None:
    async with listening(answering(LENGTH)) as peer:
        response = await ask(pool, peer.url)
        with pytest.raises(TransportError) as caught:
            await response.read(11)
        assert (caught.value.cause, caught.value.sent) == ("too_large", True)
        response = await ask(pool, peer.url)
        assert await response.read(12) == b"hello, world"


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 262144, 262145, 5_000_000])
async def test_bodies_of_every_size_arrive_whole(pool: Pool, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    log: list[object] = []
    async with listening(answering(OK, log=log)) as peer:  # type: ignore[arg-type]  # only read
        for _ in range(2):
            assert await exchange(pool, peer, body=body) == (200, b"ok")
        assert peer.accepted == 1
    assert [received.body == body for received in log] == [True, True]  # type: ignore[attr-defined]  # likewise


async def test_an_upload_waits_for_the_upstream_and_has_a_deadline(pool: Pool) -> None:
    async with listening(deaf()) as peer:
        with pytest.raises(TransportError) as caught:
            await ask(pool, peer.url, body=bytes(40_000_000), deadlines=Deadlines(2, 0.2, 9))
        assert (caught.value.cause, caught.value.sent) == ("first_byte_timeout", True)
    assert pool.connections("a") == (0, 0)


async def test_an_early_answer_stops_the_upload(pool: Pool) -> None:
    taken = [0]

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 12\r\n\r\nhello")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(b", world")
        while data := await reader.read(65536):
            taken[0] += len(data)

    async with listening(refuse) as peer:
        response = await ask(pool, peer.url, body=bytes(60_000_000))
        assert response.status == 413
        assert await response.read(99) == b"hello, world"
        await peer.until_open(0)
    assert taken[0] < 30_000_000
    assert pool.connections("a") == (0, 0)


async def test_a_connection_that_breaks_during_an_upload_is_reset(pool: Pool) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(100_000)

    async with listening(hang_up) as peer:
        with pytest.raises(TransportError) as caught:
            await ask(pool, peer.url, body=bytes(60_000_000))
    assert (caught.value.cause, caught.value.sent) == ("reset", True)


@pytest.mark.parametrize("stage", ["upload", "head", "chunk"])
async def test_cancelling_closes_the_connection_and_leaks_nothing(pool: Pool, stage: str) -> None:
    script = {"upload": deaf(), "head": silent(), "chunk": in_pieces(LENGTH[:-2])}[stage]
    body = bytes(40_000_000) if stage == "upload" else b"{}"

    async def call() -> None:
        response = await ask(pool, peer.url, body=body, limit=1)
        while await response.chunk():
            pass

    async with listening(script) as peer:
        task = asyncio.get_running_loop().create_task(call())
        await peer.until_open(1)
        await asyncio.sleep(0.05)
        assert pool.connections("a") == (1, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.connections("a") == (0, 0)
        if stage != "upload":
            await peer.until_open(0)


async def test_cancelling_a_quick_upload_between_its_slices_closes_the_connection() -> None:
    async with pooling() as pool, listening(answering(OK)) as peer:
        for turns in range(1, 12):
            task = asyncio.get_running_loop().create_task(
                ask(pool, peer.url, body=bytes(3_000_000), lane=str(turns))
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert pool.connections(str(turns)) == (0, 0)
