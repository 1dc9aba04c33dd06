"""HTTP/1.1 as the scripted vendor speaks it, good manners and scripted bad ones."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

import brotli
import zstandard

from sub2api.demo.generation import Answer, Event, Scene, encode
from sub2api.demo.ledger import Entry
from sub2api.demo.script import Play

_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests"}
_FOREVER = 3600.0
_COMPRESS = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it arrived. `path` has no query; header names are lower-case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Gone(ConnectionError):
    """The peer has left."""


async def read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """Read one request; None when the peer is done."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    path, _, query = target.partition("?")
    return HttpRequest(method, path, query, headers, body)


class Exchange:
    """The answering side of one request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def whole(
        self, status: int, body: bytes, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Write a complete JSON reply."""
        await self.raw(_head(status, "application/json", headers, length=len(body)) + body)

    async def play(
        self, scene: Scene, answer: Answer, entry: Entry, recorded: bytearray | None
    ) -> bool:
        """Write a generation as scripted. Returns whether the connection goes on."""
        if scene.play.stall_before == "head":
            await self._silence()
        if scene.stream and not scene.as_array:
            return await self._stream(scene, answer, entry, recorded)
        body = encode([answer.whole] if scene.as_array else answer.whole)
        return await self._whole_generation(scene.play, body, answer, entry, recorded)

    async def _whole_generation(
        self, play: Play, body: bytes, answer: Answer, entry: Entry, recorded: bytearray | None
    ) -> bool:
        await self._pause(play.delay)
        if recorded is not None:
            recorded += body
        extra = [("x-request-id", f"up-{entry.request_id}")]
        if play.encoding:
            extra.append(("content-encoding", play.encoding))
            body = _COMPRESS[play.encoding](body)
        length = len(body) + (100 if play.wrong_length else 0)
        head = _head(200, "application/json", extra, length=length)
        if play.cut_after is not None:
            await self.raw(head + body[: max(1, len(body) // 2)])
            return self._cut(play)
        await self._write(head, play)
        await self._write(body, play)
        entry.usage = answer.usage
        entry.complete = True
        entry.produced = sum(event.words for event in answer.events)
        return not play.wrong_length

    async def _stream(
        self, scene: Scene, answer: Answer, entry: Entry, recorded: bytearray | None
    ) -> bool:
        play = scene.play
        extra = [("x-request-id", f"up-{entry.request_id}"), ("transfer-encoding", "chunked")]
        if play.encoding:
            extra.append(("content-encoding", play.encoding))
            await self._compressed(play, answer, entry, extra)
            return True
        await self.raw(_head(200, "text/event-stream; charset=utf-8", extra))
        if play.stall_before == "first_event":
            await self._silence()
        if play.chunks:
            return await self._in_pieces(play, answer, entry, recorded)
        for number, event in enumerate(answer.events):
            if number == play.cut_after:
                return self._cut(play)
            if number == play.stall_after:
                await self._silence()
            if number == play.error_after:
                await self._write(_chunk(answer.error) + b"0\r\n\r\n", play)
                return True
            await self._pause(play.delay)
            await self._event(event, play, entry, recorded)
        await self.raw(b"0\r\n\r\n")
        entry.complete = True
        return True

    async def _event(
        self, event: Event, play: Play, entry: Entry, recorded: bytearray | None
    ) -> None:
        if self.writer.is_closing() or self._reader.at_eof():
            raise Gone
        await self._write(_chunk(event.data), play)
        if recorded is not None:
            recorded += event.data
        entry.produced += event.words
        if event.usage:
            entry.usage = event.usage

    async def _in_pieces(
        self, play: Play, answer: Answer, entry: Entry, recorded: bytearray | None
    ) -> bool:
        body = b"".join(event.data for event in answer.events)
        if recorded is not None:
            recorded += body
        for start in range(0, len(body), play.chunks):
            await self.raw(_chunk(body[start : start + play.chunks]))
            await asyncio.sleep(play.delay)  # at 0 it still lets the piece go out by itself
        await self.raw(b"0\r\n\r\n")
        entry.usage, entry.complete = answer.usage, True
        return True

    async def _compressed(
        self, play: Play, answer: Answer, entry: Entry, extra: list[tuple[str, str]]
    ) -> None:
        body = _COMPRESS[play.encoding](b"".join(event.data for event in answer.events))
        await self.raw(_head(200, "text/event-stream", extra) + _chunk(body) + b"0\r\n\r\n")
        entry.usage, entry.complete = answer.usage, True

    async def _write(self, data: bytes, play: Play) -> None:
        if not play.bytes_per_second:
            await self.raw(data)
            return
        step = max(1, play.bytes_per_second // 20)
        for start in range(0, len(data), step):
            await self.raw(data[start : start + step])
            await self._pause(0.05)

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            await asyncio.sleep(seconds)

    async def _silence(self) -> None:
        """Say nothing until the peer gives up."""
        async with asyncio.timeout(_FOREVER):
            await self._reader.read(1)
        raise Gone

    def _cut(self, play: Play) -> bool:
        if play.cut_how == "rst":
            reset(self.writer)
        return False


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _head(
    status: int, kind: str, headers: Iterable[tuple[str, str]], length: int | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Scripted')}", f"content-type: {kind}"]
    if length is not None:
        lines.append(f"content-length: {length}")
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"
