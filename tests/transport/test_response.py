"""Reading a response: decoding on the way, and what a reader may do with it."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import brotli
import pytest
import zstandard

from sub2api.errors import TransportError
from sub2api.transport.messages import Response
from sub2api.transport.pool import Pool
from sub2api.transport.response import HIGH_WATER, PooledResponse
from tests.transport.peers import answering, ask, listening, read_request

PLAIN = b'data: {"usage": 1}\n\n' * 5000


def replied(encoding: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\ncontent-length: %d\r\nx: y\r\n\r\n%b" % (
        encoding,
        len(body),
        body,
    )


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", gzip.compress(PLAIN)),
        (b"deflate", zlib.compress(PLAIN)),
        (b"br", brotli.compress(PLAIN)),
        (b"zstd", zstandard.compress(PLAIN)),
    ],
)
async def test_a_compressed_body_arrives_plain_and_says_so(
    pool: Pool, encoding: bytes, body: bytes
) -> None:
    async with listening(answering(replied(encoding, body))) as peer:
        for _ in range(2):
            response: Response = await ask(pool, peer.url)
            assert response.headers == [(b"x", b"y")]
            assert await response.read(len(PLAIN)) == PLAIN
        assert peer.accepted == 1


async def test_an_identity_encoding_changes_nothing(pool: Pool) -> None:
    async with listening(answering(replied(b"identity", b"plain"))) as peer:
        response = await ask(pool, peer.url)
        assert (b"content-length", b"5") in response.headers
        assert await response.read(5) == b"plain"


async def test_compressed_events_arrive_as_they_are_flushed(pool: Pool) -> None:
    seen = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        compressor = zlib.compressobj(wbits=31)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n")
        writer.write(compressor.compress(b"one") + compressor.flush(zlib.Z_SYNC_FLUSH))
        await seen.wait()
        writer.write(compressor.compress(b"two") + compressor.flush())
        writer.close()
        await writer.wait_closed()

    async with listening(stream) as peer:
        response = await ask(pool, peer.url)
        assert await response.chunk() == b"one"
        seen.set()
        assert await response.chunk() == b"two"
        assert await response.chunk() == b""


async def test_a_body_that_is_not_what_it_says_is_a_protocol_error(pool: Pool) -> None:
    async with listening(answering(replied(b"gzip", b"not compressed at all"))) as peer:
        response = await ask(pool, peer.url)
        for _ in range(2):
            with pytest.raises(TransportError) as caught:
                await response.read(99)
            assert (caught.value.cause, caught.value.sent) == ("protocol", True)


async def test_a_compressed_body_that_breaks_off_is_truncated(pool: Pool) -> None:
    cut = gzip.compress(PLAIN)[:-9]
    async with listening(answering(replied(b"gzip", cut))) as peer:
        response = await ask(pool, peer.url)
        for _ in range(2):
            with pytest.raises(TransportError) as caught:
                await response.read(1 << 20)
            assert caught.value.cause == "truncated"


async def test_a_bomb_is_stopped_by_the_readers_limit(pool: Pool) -> None:
    bomb = gzip.compress(bytes(100_000_000))
    async with listening(answering(replied(b"gzip", bomb))) as peer:
        response = await ask(pool, peer.url)
        with pytest.raises(TransportError) as caught:
            await response.read(1 << 20)
        assert caught.value.cause == "too_large"


async def test_encoded_bytes_that_wait_to_be_decoded_are_bounded(pool: Pool) -> None:
    noise = gzip.compress(bytes(range(256)) * 40_000, compresslevel=0)
    async with listening(answering(replied(b"gzip", noise))) as peer:
        response = await ask(pool, peer.url)
        assert isinstance(response, PooledResponse)
        await asyncio.sleep(0.1)
        most = got = 0
        while data := await response.chunk():
            got += len(data)
            most = max(most, response.held)
            await asyncio.sleep(0)
        assert got == 256 * 40_000
        assert most <= HIGH_WATER + 65536


async def test_a_body_is_delivered_as_it_comes(pool: Pool) -> None:
    gate = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await gate.wait()
        for number in range(3):
            gate.clear()
            writer.write(b"1\r\n%d\r\n" % number)
            await gate.wait()
        writer.write(b"1\r\n3\r\n1\r\n4\r\n0\r\n\r\n")
        await reader.read()

    async with listening(stream) as peer:
        response = await ask(pool, peer.url)  # the head alone is enough
        gate.set()
        for number in range(3):
            assert await response.chunk() == b"%d" % number
            gate.set()
        assert await response.read(9) == b"34"


async def test_an_encoding_without_a_body_is_no_error(pool: Pool) -> None:
    reply = b"HTTP/1.1 304 Not Modified\r\ncontent-encoding: gzip\r\n\r\n"
    async with listening(answering(reply)) as peer:
        response = await ask(pool, peer.url)
        assert await response.read(9) == b""
