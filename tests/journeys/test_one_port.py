"""One port, two lanes: what clients do to connections, over raw sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from sub2api.demo.script import Play
from sub2api.demo.upstream import DemoUpstream
from tests.fakes.world import World, running_world

BODY = json.dumps(
    {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "x"}]}
).encode()
STREAMED = BODY[:-1] + b', "stream": true}'


class Wire:
    """A client's connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Read one reply; interim ones are passed over."""
        async with asyncio.timeout(20):
            while True:
                head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                status = int(first.split(" ")[1])
                if status != 100:
                    break
            fields = {name.lower(): value for name, value in (ln.split(": ", 1) for ln in lines)}
            if head_only:
                return status, fields, b""
            return status, fields, await self._body(fields)

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

    async def is_closed(self) -> bool:
        """Whether the gateway closes it, and says nothing more."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def wire_to(world: World) -> AsyncIterator[Wire]:
    port = int(world.base_url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


def post(world: World, body: bytes = BODY, *lines: str, version: str = "1.1") -> bytes:
    head = [
        f"POST /v1/messages HTTP/{version}", "Host: gateway.test", f"x-api-key: {world.key}",
        "content-type: application/json", f"content-length: {len(body)}", *lines, "", "",
    ]  # fmt: skip
    return "\r\n".join(head).encode() + body


@pytest.fixture
async def express(tmp_path: Path, upstream: DemoUpstream) -> AsyncIterator[World]:
    """What only our own lane promises."""
    async with running_world(tmp_path, upstream) as running:
        yield running


HEALTH = b"GET /health HTTP/1.1\r\nHost: gateway.test\r\n\r\n"


async def test_a_connection_may_ask_for_everything(world: World) -> None:
    async with wire_to(world) as wire:
        for asked, marker in (
            (post(world), b"output_tokens"),
            (post(world, STREAMED), b"message_stop"),
            (HEALTH, b'"status":"ok"'),
            (post(world), b"output_tokens"),
            (post(world, STREAMED), b"message_stop"),
            (b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", b"There is no GET /nowhere"),
        ):
            await wire.say(asked)
            _, _, body = await wire.reply()
            assert marker in body


async def test_requests_sent_at_once_are_answered_in_order(world: World) -> None:
    models = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nx-api-key: %b\r\n\r\n" % world.key.encode()
    async with wire_to(world) as wire:
        await wire.say(post(world, STREAMED) + models + post(world) + HEALTH + models)
        markers = (b"message_stop", b'"data"', b"output_tokens", b'"ok"', b'"data"')
        for marker in markers:
            assert marker in (await wire.reply())[2]


async def test_a_flood_of_pipelined_requests_is_answered_in_order(world: World) -> None:
    models = b"GET /v1/models/%d HTTP/1.1\r\nHost: a\r\nx-api-key: nobody\r\n\r\n"
    async with wire_to(world) as flood, wire_to(world) as other:
        await flood.say(b"".join(models % number for number in range(1000)))
        await other.say(post(world))
        assert (await other.reply())[0] == 200
        for _ in range(1000):
            assert (await flood.reply())[0] == 401


async def test_a_body_in_chunks_is_a_body(world: World) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:]))
    head = post(world, b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    async with wire_to(world) as wire:
        await wire.say(head + chunks + b"0\r\nx-trailer: 1\r\n\r\n" + post(world))
        assert (await wire.reply())[0] == 200
        assert (await wire.reply())[0] == 200


async def test_a_body_is_asked_for_when_the_client_waits_for_that(express: World) -> None:
    async with wire_to(express) as wire:
        head = post(express, b"", "expect: 100-continue")
        await wire.say(head.replace(b"length: 0", b"length: %d" % len(BODY)))
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.say(BODY)
        assert (await wire.reply())[0] == 200


async def test_a_body_that_is_too_large_is_refused_without_being_asked_for(express: World) -> None:
    async with wire_to(express) as wire:
        await wire.say(post(express, b"", "expect: 100-continue").replace(b": 0", b": 99999999999"))
        first = await wire.reader.readuntil(b"\r\n")
        assert first.startswith(b"HTTP/1.1 413 ")


async def test_a_large_body_for_an_unknown_key_is_not_read(world: World) -> None:
    async with wire_to(world) as wire:
        head = post(world, b"").replace(world.key.encode(), b"sk-unknown")
        await wire.say(head.replace(b"length: 0", b"length: 9000000") + b'{"model": "')
        status, fields, body = await wire.reply()
        assert (status, fields["connection"]) == (401, "close")
        assert b"Invalid API key" in body


async def test_head_gets_a_head(world: World) -> None:
    async with wire_to(world) as wire:
        asked = b"HEAD /v1/models HTTP/1.1\r\nHost: a\r\nx-api-key: %b\r\n\r\n" % world.key.encode()
        await wire.say(asked + post(world))
        status, fields, _ = await wire.reply(head_only=True)
        assert (status, fields["content-type"]) == (200, "application/json")
        assert (await wire.reply())[0] == 200


async def test_http_1_0_clients_are_served(world: World) -> None:
    async with wire_to(world) as wire:
        await wire.say(post(world, BODY, version="1.0"))
        status, fields, body = await wire.reply()
        assert (status, "transfer-encoding" in fields) == (200, False)
        assert b"output_tokens" in body
        assert await wire.is_closed()
    async with wire_to(world) as wire:
        await wire.say(post(world, STREAMED, version="1.0"))
        _, fields, body = await wire.reply()
        assert "transfer-encoding" not in fields
        assert body.rstrip().endswith(b'{"type": "message_stop"}') or b"message_stop" in body


async def test_close_means_close(world: World) -> None:
    async with wire_to(world) as wire:
        await wire.say(post(world, BODY, "connection: close"))
        status, fields, _ = await wire.reply()
        assert (status, fields["connection"]) == (200, "close")
        assert await wire.is_closed()


@pytest.mark.parametrize("body", [BODY, STREAMED], ids=["whole", "stream"])
async def test_a_client_that_stops_sending_still_gets_its_reply(
    tmp_path: Path, upstream: DemoUpstream, body: bytes
) -> None:
    upstream.always("anthropic-1", Play(delay=0.05))
    async with running_world(tmp_path, upstream, GATEWAY_DISCONNECT="cancel") as world:
        async with wire_to(world) as wire:
            await wire.say(post(world, body))
            wire.writer.write_eof()
            status, _, reply = await wire.reply()
            assert status == 200
            assert b"output_tokens" in reply
        (row,) = await world.rows(1)
        assert (row.status, row.error) == (200, "")


async def test_a_client_that_hangs_up_before_its_reply_is_noticed(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    upstream.always("anthropic-1", Play(stall_before="head"))
    async with running_world(tmp_path, upstream, GATEWAY_DISCONNECT="cancel") as world:
        async with wire_to(world) as wire:
            await wire.say(post(world))
            while not upstream.requests:
                await asyncio.sleep(0.01)
        (row,) = await world.rows(1, seconds=5)
        assert (row.status, row.error) == (499, "client_left")


async def test_head_and_first_event_come_together(express: World) -> None:
    async with wire_to(express) as wire:
        await wire.say(post(express, STREAMED))
        first = await wire.reader.read(65536)
        assert b"HTTP/1.1 200 OK\r\n" in first
        assert b"message_start" in first


async def test_every_reply_says_what_the_hop_cost(world: World) -> None:
    async with wire_to(world) as wire:
        await wire.say(post(world))
        _, fields, _ = await wire.reply()
        name, _, milliseconds = fields["server-timing"].partition(";dur=")
        assert name == "gw"
        assert 0 < float(milliseconds) < 1000
        await wire.say(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        _, fields, body = await wire.reply()
        assert fields["content-type"].startswith("text/plain")
        assert b'sub2api_overhead_seconds_count{platform="anthropic",route="messages"} 1.0' in body


async def test_metrics_are_for_this_machine_or_for_a_token(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    asked = b"GET /metrics HTTP/1.1\r\nHost: a\r\n%b\r\n"
    async with running_world(tmp_path, upstream) as world, wire_to(world) as wire:
        await wire.say(asked % b"X-Forwarded-For: 1.2.3.4\r\n")
        assert (await wire.reply())[0] == 403
    async with (
        running_world(tmp_path, upstream, SERVER_METRICS_TOKEN="t0ken") as world,
        wire_to(world) as wire,
    ):
        for line, status in ((b"", 403), (b"Authorization: Bearer t0ken\r\n", 200)):
            await wire.say(asked % line)
            assert (await wire.reply())[0] == status


async def test_a_websocket_is_answered_and_not_left_hanging(world: World) -> None:
    async with wire_to(world) as wire:
        await wire.say(
            b"GET /v1/responses HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        async with asyncio.timeout(10):
            status = int((await wire.reader.readline()).split()[1])
        assert 400 <= status < 500


async def http2(world: World, headers: list[tuple[str, str]], body: bytes) -> tuple[str, bytes]:
    """Ask over HTTP/2 with prior knowledge; return the status and the body."""
    config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
    client = h2.connection.H2Connection(config)
    client.initiate_connection()
    client.send_headers(1, headers, end_stream=not body)
    if body:
        client.send_data(1, body, end_stream=True)
    status, received = "", b""
    async with wire_to(world) as wire, asyncio.timeout(20):
        await wire.say(client.data_to_send())
        while True:
            for event in client.receive_data(await wire.reader.read(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    received += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return status, received
            await wire.say(client.data_to_send())


async def test_http_2_with_prior_knowledge_is_spoken(world: World) -> None:
    common = [(":scheme", "http"), (":authority", "gateway.test")]
    health = [(":method", "GET"), (":path", "/health"), *common]
    status, body = await http2(world, health, b"")
    assert (status, json.loads(body)) == ("200", {"status": "ok"})
    ask = [(":method", "POST"), (":path", "/v1/messages"), *common, ("x-api-key", world.key)]
    status, body = await http2(world, ask, STREAMED)
    assert status == "200"
    assert b"message_stop" in body


@pytest.mark.parametrize("first", [b"", HEALTH], ids=["at once", "after a hand-over"])
async def test_a_head_that_does_not_come_in_time_ends_the_connection(
    tmp_path: Path, upstream: DemoUpstream, first: bytes
) -> None:
    async with (
        running_world(tmp_path, upstream, SERVER_READ_HEADER_TIMEOUT="1") as world,
        wire_to(world) as wire,
    ):
        if first:
            await wire.say(first)
            assert (await wire.reply())[0] == 200
        began = asyncio.get_running_loop().time()
        await wire.say(b"POST /v1/messages HTTP/1.1\r\nHost: ")
        for _ in range(8):
            await asyncio.sleep(0.25)
            try:
                await wire.say(b"a")
            except ConnectionError:
                break
        async with asyncio.timeout(5):
            try:
                said = await wire.reader.read()
            except ConnectionError:
                said = b""
        assert said == b"" or b" 408 " in said
        assert asyncio.get_running_loop().time() - began < 5


async def test_connections_are_limited_in_total_and_per_address(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with (
        running_world(tmp_path, upstream, SERVER_MAX_CONNECTIONS_PER_ADDRESS="2") as world,
        wire_to(world) as one,
    ):
        await one.say(HEALTH)  # a connection that was handed over counts as well
        assert (await one.reply())[0] == 200
        async with wire_to(world) as two:
            await two.say(post(world))
            assert (await two.reply())[0] == 200
            async with wire_to(world) as three:
                assert await three.is_closed()
        await asyncio.sleep(0.1)
        async with wire_to(world) as again:
            await again.say(HEALTH)
            assert (await again.reply())[0] == 200


async def test_a_client_that_does_not_read_makes_the_upstream_wait(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    upstream.always("anthropic-1", Play(text=" ".join(["x" * 50_000] * 300)))
    async with running_world(tmp_path, upstream) as world, wire_to(world) as wire:
        await wire.say(post(world, STREAMED))
        await wire.reply(head_only=True)
        await asyncio.sleep(1.0)
        (entry,) = upstream.entries
        assert not entry.complete
        async with asyncio.timeout(20):
            while not entry.complete:
                await wire.reader.read(1 << 20)


async def test_bodies_are_bounded_all_together(tmp_path: Path, upstream: DemoUpstream) -> None:
    async with running_world(tmp_path, upstream, SERVER_MAX_BUFFERED_BODIES="1MB") as world:
        async with wire_to(world) as wire, wire_to(world) as other:
            await wire.say(post(world, b"").replace(b"length: 0", b"length: 5000000"))
            await wire.say(b'{"model": "' + b"x" * 1_200_000)
            status, fields, _ = await wire.reply()
            assert (status, fields["retry-after"]) == (503, "5")
            await other.say(post(world))
            assert (await other.reply())[0] == 200
        while world.parts.bodies.held:
            await asyncio.sleep(0.01)
