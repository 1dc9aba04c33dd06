"""The express lane's manners, over real sockets; where it makes sense the web app's as well."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sub2api.demo.script import Play
from sub2api.demo.upstream import DemoUpstream
from sub2api.gateway.pipeline import Pipeline
from sub2api.server.lane import Lane
from sub2api.server.run import serving
from tests.fakes.raw_client import HEALTH, STREAM, WHOLE, RawClient, head, post, raw_client
from tests.fakes.world import World, running_world

LARGE = WHOLE[:-1] + b', "metadata": {"user_id": "' + b"x" * 300_000 + b'"}}'
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LANES = pytest.mark.parametrize("express_lane", ["true", "false"], ids=["express", "web app"])
KINDS = pytest.mark.parametrize("body", [WHOLE, STREAM], ids=["whole", "stream"])


@pytest.fixture
async def express(tmp_path: Path, upstream: DemoUpstream) -> AsyncIterator[World]:
    async with running_world(tmp_path, upstream) as running:
        yield running


@asynccontextmanager
async def watched(world: World) -> AsyncIterator[tuple[Lane, str]]:
    """A second listener of the same gateway, with a view of its connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with serving(Pipeline(world.parts), [listener]) as lane:
        yield lane, f"http://127.0.0.1:{listener.getsockname()[1]}"


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


# Bodies, and who waits for whom.


async def test_a_body_is_held_back_until_it_is_asked_for(world: World) -> None:
    async with raw_client(world.base_url) as client:
        for body in (WHOLE, LARGE):
            await client.say(
                head(world.key, "expect: 100-continue", f"content-length: {len(body)}")
            )
            async with asyncio.timeout(10):
                assert (await client.head())[0] == 100
            assert (await client.ask(body)).status == 200


@pytest.mark.parametrize(
    ("key", "lines", "status"),
    [
        ("sk-nobody", ["content-length: 9000000"], 401),
        ("sk-nobody", ["transfer-encoding: chunked"], 401),
        ("", ["content-length: 99999999999"], 413),
    ],
    ids=["unknown key", "unknown key, chunked", "too large"],
)
async def test_a_body_that_is_not_wanted_is_not_asked_for(
    express: World, key: str, lines: list[str], status: int
) -> None:
    async with raw_client(express.base_url) as client:
        await client.say(head(key or express.key, "expect: 100-continue", *lines))
        async with asyncio.timeout(10):
            assert (await client.head())[0] == status


async def test_an_expectation_that_comes_with_its_body_is_met_silently(express: World) -> None:
    async with raw_client(express.base_url) as client:
        await client.say(post(express.key, WHOLE, "expect: 100-continue"))
        async with asyncio.timeout(10):
            assert (await client.head())[0] == 200


@pytest.mark.parametrize("size", [1, 100, 70_000])
async def test_a_body_in_chunks(world: World, size: int) -> None:
    asked = head(world.key, "transfer-encoding: chunked")
    body = WHOLE if size == 1 else LARGE
    async with raw_client(world.base_url) as client:
        await client.say(asked + chunked(body, size) + post(world.key, WHOLE))
        assert (await client.reply()).status == 200
        assert (await client.reply()).status == 200


@LANES
@pytest.mark.parametrize("chunks", [0, 100_000], ids=["sized", "chunked"])
async def test_a_body_of_several_megabytes(
    tmp_path: Path, upstream: DemoUpstream, express_lane: str, chunks: int
) -> None:
    said = (
        b'{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"%b"}]}'
    )
    body = said % (b"x" * 3_000_000)
    async with (
        running_world(tmp_path, upstream, SERVER_EXPRESS_LANE=express_lane) as world,
        raw_client(world.base_url) as client,
    ):
        asked = head(world.key, "transfer-encoding: chunked") + chunked(body, chunks or 1)
        await client.say(asked if chunks else post(world.key, body))
        assert (await client.reply()).status == 200
        assert (await client.ask(post(world.key, WHOLE))).status == 200
    assert body in [each.body for each in upstream.requests]


REFUSED = {
    "unknown key": ("sk-nobody", "content-length: 3000000", b"", 3_000_000, 401),
    "unknown key, chunked": (
        "sk-nobody",
        "transfer-encoding: chunked",
        b"2dc6c0\r\n",
        3_000_000,
        401,
    ),
    # Less than what is read on for a moment (4 MiB): more than that ends the connection.
    "too large": ("", "content-length: 4000000", b"", 4_000_000, 413),
    "too large, chunked": ("", "transfer-encoding: chunked", b"3d0900\r\n", 4_000_000, 413),
}


@LANES
@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("sends", [True, False], ids=["sends it all", "waits"])
async def test_a_refusal_can_be_read_by_who_sends_a_large_body(
    tmp_path: Path, upstream: DemoUpstream, express_lane: str, case: str, sends: bool
) -> None:
    if (express_lane, case, sends) == ("false", "too large, chunked", False):
        pytest.skip("Hypercorn tells what has come, not what a chunk's head announces")
    key, framing, first, size, status = REFUSED[case]
    environment = {
        "SERVER_EXPRESS_LANE": express_lane,
        "SERVER_MAX_REQUEST_BODY_SIZE": "3MB",
    }
    async with (
        running_world(tmp_path, upstream, **environment) as world,
        raw_client(world.base_url) as client,
    ):
        await client.say(head(key or world.key, framing) + first)
        if sends:
            with suppress(ConnectionError):  # the refusal is there to be read even so
                await client.say(bytes(size))
        answer = await client.reply(seconds=5)
        assert (answer.status, answer.fields["connection"]) == (status, "close")
        assert b"error" in answer.body
        client.writer.close()
        while world.parts.bodies.held:
            await asyncio.sleep(0.01)
    assert not upstream.requests


# HTTP/1.0, HEAD, close.


async def test_head_is_answered_without_a_body(world: World) -> None:
    async with raw_client(world.base_url) as client:
        for path in ("/v1/models", "/health", "/v1/models"):
            asked = f"HEAD {path} HTTP/1.1\r\nHost: a\r\nx-api-key: {world.key}\r\n\r\n"
            assert (await client.ask(asked.encode(), head_only=True)).status == 200
        assert (await client.ask(post(world.key, WHOLE))).status == 200


async def test_http_1_0_ends_with_the_reply(world: World) -> None:
    for body, marker in ((WHOLE, b"output_tokens"), (STREAM, b"message_stop")):
        async with raw_client(world.base_url) as client:
            answer = await client.ask(post(world.key, body, version="1.0"))
            assert (answer.status, marker in answer.body) == (200, True)
            assert "transfer-encoding" not in answer.fields
            assert await client.ended()


async def test_http_1_0_goes_on_when_asked_to(express: World) -> None:
    async with raw_client(express.base_url) as client:
        asked = post(express.key, WHOLE, "connection: keep-alive", version="1.0")
        for _ in range(3):
            answer = await client.ask(asked)
            assert (answer.status, answer.fields["connection"]) == (200, "keep-alive")
        stream = post(express.key, STREAM, "connection: keep-alive", version="1.0")
        answer = await client.ask(stream)  # its end can only be the connection's
        assert (answer.fields["connection"], b"message_stop" in answer.body) == ("close", True)


@KINDS
async def test_close_is_said_and_done(world: World, body: bytes) -> None:
    async with raw_client(world.base_url) as client:
        answer = await client.ask(post(world.key, body, "connection: close"))
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert await client.ended()


# Clients that stop sending, and clients that go away.


@KINDS
@pytest.mark.parametrize("delay", [0.0, 0.3], ids=["fast", "slow"])
async def test_who_only_stops_sending_gets_the_whole_reply(
    tmp_path: Path, upstream: DemoUpstream, body: bytes, delay: float
) -> None:
    upstream.always("anthropic-1", Play(text="one two three", delay=delay))
    async with running_world(tmp_path, upstream, GATEWAY_DISCONNECT="cancel") as world:
        async with raw_client(world.base_url) as client:
            await client.say(post(world.key, body))
            client.writer.write_eof()
            answer = await client.reply()
            assert (answer.status, b"output_tokens" in answer.body) == (200, True)
            assert await client.ended()
        (row,) = await world.rows(1)
        assert (row.status, row.error) == (200, "")


async def test_who_stops_sending_while_the_upstream_thinks_gets_the_reply(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    upstream.always("anthropic-1", Play(delay=3.5))
    async with (
        running_world(tmp_path, upstream, GATEWAY_DISCONNECT="cancel") as world,
        raw_client(world.base_url) as client,
    ):
        await client.say(post(world.key, WHOLE))
        await asyncio.sleep(0.2)
        client.writer.write_eof()
        assert (await client.reply()).status == 200


async def test_who_stops_sending_after_a_large_body_gets_the_reply(express: World) -> None:
    async with raw_client(express.base_url) as client:
        await client.say(post(express.key, LARGE))
        client.writer.write_eof()
        assert (await client.reply()).status == 200


async def test_who_stops_sending_after_several_requests_gets_all_replies(express: World) -> None:
    async with raw_client(express.base_url) as client:
        await client.say(post(express.key, WHOLE) * 3)
        client.writer.write_eof()
        for _ in range(3):
            assert (await client.reply()).status == 200
        assert await client.ended()


async def test_who_stops_sending_in_the_middle_of_a_request_gets_an_end(express: World) -> None:
    for sent in (b"POST /v1/mess", head(express.key, "content-length: 100") + b"{"):
        async with raw_client(express.base_url) as client:
            await client.say(sent)
            client.writer.write_eof()
            assert b"HTTP/1.1 2" not in await client.reader.read()


@LANES
@KINDS
@pytest.mark.parametrize("when", ["head", "first_event", "middle"])
async def test_who_hangs_up_stops_the_upstream(
    tmp_path: Path, upstream: DemoUpstream, express_lane: str, body: bytes, when: str
) -> None:
    if when != "head" and body is WHOLE:
        pytest.skip("a whole reply has no middle")
    play = Play(stall_after=3) if when == "middle" else Play(stall_before=when)  # type: ignore[arg-type]
    upstream.always("anthropic-1", play)
    environment = {
        "GATEWAY_DISCONNECT": "cancel",
        "SERVER_EXPRESS_LANE": express_lane,
        "GATEWAY_KEEPALIVE_SECONDS": "1",  # in the middle of a stream, these find out
    }
    async with running_world(tmp_path, upstream, **environment) as world:
        async with raw_client(world.base_url) as client:
            await client.say(post(world.key, body))
            while not upstream.requests:
                await asyncio.sleep(0.01)
            if when == "middle":
                await client.reader.read(1)
        (row,) = await world.rows(1, seconds=5)
        assert row.error == "client_left"
        async with asyncio.timeout(1):
            while upstream._open:
                await asyncio.sleep(0.01)


async def test_who_resets_stops_the_upstream(tmp_path: Path, upstream: DemoUpstream) -> None:
    upstream.always("anthropic-1", Play(stall_before="head"))
    async with running_world(tmp_path, upstream, GATEWAY_DISCONNECT="cancel") as world:
        async with raw_client(world.base_url) as client:
            await client.say(post(world.key, WHOLE))
            while not upstream.requests:
                await asyncio.sleep(0.01)
            client.writer.transport.abort()
        (row,) = await world.rows(1, seconds=5)
        assert row.error == "client_left"


# Segments, slow readers, floods.


async def test_head_and_first_event_are_one_segment(tmp_path: Path, upstream: DemoUpstream) -> None:
    upstream.always("anthropic-1", Play(delay=0.2))
    async with (
        running_world(tmp_path, upstream) as world,
        raw_client(world.base_url) as client,
    ):
        await client.say(post(world.key, STREAM))
        first = await client.reader.read(65536)
        assert first.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"message_start" in first
        assert b"message_stop" not in first


async def test_a_client_that_does_not_read_is_held_little_for(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    upstream.always("anthropic-1", Play(text=" ".join(["x" * 20_000] * 1500)))
    async with (
        running_world(tmp_path, upstream) as world,
        watched(world) as (lane, url),
        raw_client(url, receive_buffer=4096) as client,
    ):
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it has it
        await client.say(post(world.key, STREAM))
        await asyncio.sleep(0.5)
        (entry,) = upstream.entries
        (connection,) = lane._connections
        produced = held = -1
        while entry.produced != produced:  # a busy machine takes a while to get there
            produced = entry.produced
            held = connection._transport.get_write_buffer_size()  # type: ignore[attr-defined]
            await asyncio.sleep(1.0)
        assert not entry.complete, "the upstream is not held back"
        assert held <= 256 * 1024
        assert connection._transport.get_write_buffer_size() == held  # type: ignore[attr-defined]


async def test_refusals_that_nobody_reads_do_not_pile_up(express: World) -> None:
    """Refusals of the express lane's own, which no pipeline waits with."""
    asked = b"DELETE /v1/messages HTTP/1.1\r\nHost: a\r\n\r\n"
    async with watched(express) as (lane, url):
        async with raw_client(url, receive_buffer=4096) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it has it
            client.writer.write(asked * 100_000)
            most = 0
            for _ in range(30):
                await asyncio.sleep(0.1)
                for each in lane._connections:
                    most = max(most, each._transport.get_write_buffer_size())  # type: ignore[attr-defined]
            client.writer.transport.abort()
        assert most <= 256 * 1024


async def test_refusals_that_are_read_late_are_whole(express: World) -> None:
    asked = b"DELETE /v1/messages HTTP/1.1\r\nHost: a\r\n\r\n"
    count = 20_000
    async with raw_client(express.base_url, receive_buffer=4096) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it has it
        client.writer.write(asked * count)
        await asyncio.sleep(1.0)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # it has it
        for number in range(count):
            answer = await client.reply()
            assert (answer.status, answer.body[:1]) == (405, b"{"), number


async def flood(client: RawClient, key: str, count: int) -> None:
    asked = b"GET /v1/models/%d HTTP/1.1\r\nHost: a\r\nx-api-key: %b\r\n\r\n"
    await client.say(b"".join(asked % (number, key.encode()) for number in range(count)))
    for number in range(count):
        answer = await client.reply()
        assert answer.status == 404
        assert b"%d" % number in answer.body, "out of order"


async def test_a_flood_of_requests_is_answered_in_order_and_blocks_nobody(world: World) -> None:
    loop = asyncio.get_running_loop()
    took: list[float] = []
    async with raw_client(world.base_url) as flooding, raw_client(world.base_url) as other:
        assert (await other.ask(post(world.key, WHOLE))).status == 200
        flooded = asyncio.gather(flood(flooding, world.key, 1000))
        while not flooded.done():
            began = loop.time()
            assert (await other.ask(post(world.key, WHOLE))).status == 200
            took.append(loop.time() - began)
        await flooded
    assert sorted(took)[len(took) // 2] < 0.1
    assert max(took) < 1.0


async def test_a_flood_that_ends_elsewhere_is_answered_to_the_end(express: World) -> None:
    models = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nx-api-key: %b\r\n\r\n" % express.key.encode()
    async with raw_client(express.base_url) as client:
        client.writer.write(models * 2000 + HEALTH)
        for _ in range(2000):
            assert (await client.reply()).status == 200
        assert (await client.reply()).body == b'{"status":"ok"}\n'
