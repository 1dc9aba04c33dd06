"""A client on a raw socket: what is sent and read is exactly what the test says."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import h2.config
import h2.connection
import h2.events

CALL = {
    "model": "claude-sonnet-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "x"}],
}  # fmt: skip
WHOLE = json.dumps(CALL).encode()
STREAM = json.dumps({**CALL, "stream": True}).encode()
HEALTH = b"GET /health HTTP/1.1\r\nHost: gw.test\r\n\r\n"


class Answered(NamedTuple):
    """One reply."""

    status: int
    fields: dict[str, str]
    body: bytes


def post(key: str, body: bytes, *lines: str, version: str = "1.1") -> bytes:
    """Return a call of /v1/messages with a body of a told length."""
    return head(key, f"content-length: {len(body)}", *lines, version=version) + body


def head(key: str, *lines: str, version: str = "1.1") -> bytes:
    """Return the head of a call of /v1/messages, without any framing of its own."""
    first = f"POST /v1/messages HTTP/{version}"
    own = ("Host: gw.test", f"x-api-key: {key}", "content-type: application/json")
    return "\r\n".join([first, *own, *lines, "", ""]).encode()


class RawClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, data: bytes, *, head_only: bool = False) -> Answered:
        """Send a request, return its reply."""
        await self.say(data)
        return await self.reply(head_only=head_only)

    async def reply(self, *, head_only: bool = False, seconds: float = 20) -> Answered:
        """Read a reply; interim ones are passed over."""
        async with asyncio.timeout(seconds):
            status = 100
            fields: dict[str, str] = {}
            while status == 100:
                status, fields = await self.head()
            return Answered(status, fields, b"" if head_only else await self._body(fields))

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read the head of a reply, interim ones too."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.strip().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), {name.lower(): value for name, value in pairs}

    async def _body(self, fields: dict[str, str]) -> bytes:
        if "content-length" in fields:
            return await self.reader.readexactly(int(fields["content-length"]))
        if fields.get("transfer-encoding") != "chunked":
            return await self.reader.read()
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()
        return body

    async def ended(self, seconds: float = 10) -> bool:
        """Whether the gateway closes, and says nothing more."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def raw_client(base_url: str, *, receive_buffer: int = 0) -> AsyncIterator[RawClient]:
    """Connect; `receive_buffer` bounds what the kernel takes for a client that does not read."""
    raw = socket.socket()
    if receive_buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.setblocking(False)
    port = int(base_url.rsplit(":", 1)[1])
    try:
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    except BaseException:
        raw.close()
        raise
    limit = receive_buffer or 1 << 16
    reader, writer = await asyncio.open_connection(sock=raw, limit=limit)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()


class Http2Client:
    """HTTP/2 over a raw connection, told beforehand that the server speaks it."""

    def __init__(self, client: RawClient, machine: h2.connection.H2Connection) -> None:
        self._client = client
        self.machine = machine
        self.answers: dict[int, Answered] = {}
        self.ended: set[int] = set()

    @classmethod
    async def begin(cls, client: RawClient, *, preface: bool = True) -> Http2Client:
        """Say hello."""
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        machine = h2.connection.H2Connection(config)
        if preface:
            machine.initiate_connection()
        return cls(client, machine)

    async def flush(self) -> None:
        """Send what is to be sent."""
        await self._client.say(self.machine.data_to_send())

    def ask(self, path: str, key: str = "", body: bytes = b"") -> int:
        """Prepare a request; return its stream."""
        stream = self.machine.get_next_available_stream_id()
        headers = [
            (":method", "POST" if body else "GET"), (":path", path), (":scheme", "http"),
            (":authority", "gw.test"), *([("x-api-key", key)] if key else []),
        ]  # fmt: skip
        self.machine.send_headers(stream, headers, end_stream=not body)
        if body:
            self.machine.send_data(stream, body, end_stream=True)
        return stream

    async def until_ended(self, *streams: int, seconds: float = 20) -> list[Answered]:
        """Read until all of these streams have their replies."""
        async with asyncio.timeout(seconds):
            await self.flush()
            while not self.ended.issuperset(streams):
                data = await self._client.reader.read(65536)
                if not data:
                    raise ConnectionError("closed before the replies were complete")
                self.receive(data)
                await self.flush()
        return [self.answers[stream] for stream in streams]

    def receive(self, data: bytes) -> None:
        """Take bytes."""
        for event in self.machine.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                fields = dict(event.headers)
                status = int(fields.pop(":status"))
                self.answers[event.stream_id] = Answered(status, fields, b"")
            elif isinstance(event, h2.events.DataReceived):
                before = self.answers[event.stream_id]
                self.answers[event.stream_id] = before._replace(body=before.body + event.data)
                length = event.flow_controlled_length
                self.machine.acknowledge_received_data(length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self.ended.add(event.stream_id)
