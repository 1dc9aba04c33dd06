"""Replies of every framing, and ways to send them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable
from typing import Any

from sub2api.errors import TransportError
from sub2api.transport.pool import Pool
from tests.transport.peers import Peer, Script, ask, read_request

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


async def exchange(pool: Pool, peer: Peer, **options: Any) -> tuple[int, bytes]:
    response = await ask(pool, peer.url, **options)
    try:
        return response.status, await response.read(1 << 20)
    finally:
        response.close()


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


async def whole(pool: Pool, peer: Peer, **options: Any) -> bytes:
    response = await ask(pool, peer.url, **options)
    try:
        return await response.read(1 << 20)
    finally:
        response.close()


async def cause_of(call: Awaitable[object]) -> str:
    """Return why a call fails, "" if it does not."""
    try:
        await call
    except TransportError as error:
        return error.cause
    return ""
