"""One port, one connection, two servers: what is handed over, and what comes after it."""

from __future__ import annotations

import asyncio
import socket
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import h2.settings
import pytest

from sub2api.demo.script import Play
from sub2api.demo.upstream import DemoUpstream
from sub2api.gateway.pipeline import Pipeline
from sub2api.server.express import ExpressConnection
from sub2api.server.guest import Guest
from sub2api.server.lane import Lane
from sub2api.server.run import serving
from tests.fakes.raw_client import HEALTH, STREAM, WHOLE, Http2Client, post, raw_client
from tests.fakes.world import World, running_world

NOWHERE = b"GET /nowhere HTTP/1.1\r\nHost: gw.test\r\n\r\n"
READY = b"GET /ready HTTP/1.1\r\nHost: gw.test\r\n\r\n"
WEBSOCKET = (
    b"GET %b HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
OK = b'{"status":"ok"}\n'


@pytest.fixture
async def express(tmp_path: Path, upstream: DemoUpstream) -> AsyncIterator[World]:
    async with running_world(tmp_path, upstream) as running:
        yield running


@pytest.fixture
async def lane(express: World) -> AsyncIterator[tuple[Lane, str]]:
    """A second listener of the same gateway, with a view of its connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with serving(Pipeline(express.parts), [listener]) as lane:
        yield lane, f"http://127.0.0.1:{listener.getsockname()[1]}"


async def until_empty(lane: Lane) -> None:
    async with asyncio.timeout(5):
        while lane.open:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("web_first", [True, False], ids=["web first", "gateway first"])
async def test_one_connection_asks_both(world: World, web_first: bool) -> None:
    calls = [
        (post(world.key, WHOLE), 200, b"output_tokens"),
        (post(world.key, STREAM), 200, b"message_stop"),
        (post("sk-nobody", WHOLE), 401, b"Invalid API key"),
    ]
    pages = [(HEALTH, 200, OK), (READY, 200, OK), (NOWHERE, 404, b"There is no GET /nowhere")]
    script = [*pages, *calls, *pages] if web_first else [*calls, *pages, *calls]
    async with raw_client(world.base_url) as client:
        for asked, status, marker in script:
            answer = await client.ask(asked)
            assert (answer.status, marker in answer.body) == (status, True), answer


async def test_a_mix_sent_at_once_is_answered_in_order(world: World) -> None:
    asked = [post(world.key, STREAM), HEALTH, post(world.key, WHOLE), NOWHERE, READY]
    markers = (b"message_stop", OK, b"output_tokens", b"There is no", OK)
    async with raw_client(world.base_url) as client:
        await client.say(b"".join(asked))
        for marker in markers:
            assert marker in (await client.reply()).body


async def test_a_mix_that_dribbles_in_is_answered_in_order(world: World) -> None:
    asked = post(world.key, WHOLE) + HEALTH + post(world.key, WHOLE)
    async with raw_client(world.base_url) as client:
        for at in range(0, len(asked), 7):
            await client.say(asked[at : at + 7])
            await asyncio.sleep(0)
        for marker in (b"output_tokens", OK, b"output_tokens"):
            assert marker in (await client.reply()).body


async def test_the_line_alone_is_enough_to_hand_over(world: World) -> None:
    async with raw_client(world.base_url) as client:
        await client.say(HEALTH[:24])
        await asyncio.sleep(0.2)
        assert (await client.ask(HEALTH[24:])).body == OK


@pytest.mark.parametrize("path", [b"/v1/responses", b"/v1/messages", b"/socket"])
async def test_a_websocket_is_refused_and_nothing_hangs(world: World, path: bytes) -> None:
    async with raw_client(world.base_url) as client:
        answer = await client.ask(WEBSOCKET % path, head_only=True)
        assert 400 <= answer.status < 500


async def test_a_websocket_may_come_second(world: World) -> None:
    async with raw_client(world.base_url) as client:
        assert (await client.ask(post(world.key, WHOLE))).status == 200
        answer = await client.ask(WEBSOCKET % b"/v1/responses", head_only=True)
        assert 400 <= answer.status < 500


async def test_http_2_asks_for_everything_at_once(world: World) -> None:
    async with raw_client(world.base_url) as client:
        http2 = await Http2Client.begin(client)
        health = http2.ask("/health")
        streams = [http2.ask("/v1/messages", world.key, STREAM) for _ in range(5)]
        refused = http2.ask("/v1/messages", "sk-nobody", WHOLE)
        answers = await http2.until_ended(health, *streams, refused)
        assert [each.status for each in answers] == [200, 200, 200, 200, 200, 200, 401]
        assert answers[0].body == OK
        assert all(each.body.count(b"message_stop") >= 1 for each in answers[1:6])
        later = http2.ask("/v1/messages", world.key, WHOLE)
        (answer,) = await http2.until_ended(later)
        assert (answer.status, b"output_tokens" in answer.body) == (200, True)


async def test_http_2_may_begin_byte_by_byte(express: World) -> None:
    async with raw_client(express.base_url) as client:
        http2 = await Http2Client.begin(client)
        stream = http2.ask("/health")
        for byte in http2.machine.data_to_send():
            await client.say(bytes([byte]))
            await asyncio.sleep(0)
        (answer,) = await http2.until_ended(stream)
        assert answer.body == OK


async def test_a_broken_preface_is_refused(express: World) -> None:
    async with raw_client(express.base_url) as client:
        await client.say(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
        assert (await client.reply()).status == 400
        assert await client.ended()


async def test_a_preface_counts_at_the_beginning_only(world: World) -> None:
    async with raw_client(world.base_url) as client:
        assert (await client.ask(post(world.key, WHOLE))).status == 200
        await client.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        async with asyncio.timeout(5):
            assert b"HTTP/1.1 2" not in await client.reader.read(4096)


async def test_http_2_by_upgrade(world: World) -> None:
    settings = urlsafe_b64encode(
        b"".join(
            code.to_bytes(2, "big") + value.to_bytes(4, "big")
            for code, value in {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535}.items()
        )
    ).rstrip(b"=")
    lines = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: %b\r\n\r\n"
    async with raw_client(world.base_url) as client:
        await client.say(HEALTH[:-2] + lines % settings)
        status, fields = await client.head()
        assert (status, fields["upgrade"]) == (101, "h2c")
        http2 = await Http2Client.begin(client, preface=False)
        http2.machine.initiate_upgrade_connection()
        (answer,) = await http2.until_ended(1)
        assert answer.body == OK
        (answer,) = await http2.until_ended(http2.ask("/v1/messages", world.key, STREAM))
        assert b"message_stop" in answer.body


async def test_an_upgrade_with_a_body_is_answered_without_it(world: World) -> None:
    lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    async with raw_client(world.base_url) as client:
        answer = await client.ask(post(world.key, WHOLE, *lines))
        assert (answer.status, b"output_tokens" in answer.body) == (200, True)


@pytest.mark.parametrize("first", [HEALTH, b""], ids=["handed over", "express"])
async def test_an_idle_connection_is_closed(
    tmp_path: Path, upstream: DemoUpstream, first: bytes
) -> None:
    async with (
        running_world(tmp_path, upstream, SERVER_IDLE_TIMEOUT="1") as world,
        raw_client(world.base_url) as client,
    ):
        assert (await client.ask(first or post(world.key, WHOLE))).status == 200
        assert await client.ended(seconds=4)


async def test_a_connection_is_counted_once_and_given_back(lane: tuple[Lane, str]) -> None:
    counting, url = lane
    async with raw_client(url) as client, raw_client(url) as other:
        assert (await client.ask(HEALTH)).status == 200
        assert (await other.ask(NOWHERE)).status == 404
        assert counting.open == 2
    await until_empty(counting)


@pytest.mark.parametrize("asked", [HEALTH, NOWHERE, HEALTH.replace(b"GET", b"HEAD")])
async def test_a_connection_comes_back_when_the_web_app_has_answered(
    express: World, lane: tuple[Lane, str], asked: bytes
) -> None:
    counting, url = lane
    async with raw_client(url) as client:
        for _ in range(3):
            await client.say(asked[:30])
            while not isinstance(next(iter(counting._connections), None), Guest):
                await asyncio.sleep(0.01)
            await client.ask(asked[30:], head_only=asked.startswith(b"HEAD"))
            (connection,) = counting._connections
            assert isinstance(connection, ExpressConnection)
            assert (await client.ask(post(express.key, STREAM))).status == 200
            assert counting.open == 1
    await until_empty(counting)


async def test_without_the_express_lane_only_who_sends_ahead_waits_for_turns(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream, SERVER_EXPRESS_LANE="false") as world:
        listener = socket.create_server(("127.0.0.1", 0))
        async with serving(Pipeline(world.parts), [listener]) as counting:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with raw_client(url) as client:
                await client.ask(HEALTH)
                (guest,) = counting._connections
                await client.ask(post(world.key, WHOLE))
                assert counting._connections == {guest}
                await client.say(HEALTH + post(world.key, WHOLE) + HEALTH)
                assert (await client.reply()).body == OK
                assert b"output_tokens" in (await client.reply()).body
                assert (await client.reply()).body == OK
                (later,) = counting._connections
                assert isinstance(later, Guest)
                assert later is not guest


async def test_requests_for_the_web_app_sent_ahead_are_answered_to_the_last(world: World) -> None:
    async with raw_client(world.base_url) as client:
        client.writer.write(HEALTH * 200 + post(world.key, WHOLE) + NOWHERE)
        client.writer.write_eof()
        for _ in range(200):
            assert (await client.reply()).body == OK
        assert (await client.reply()).status == 200
        assert (await client.reply()).status == 404
        assert await client.ended()


async def test_a_body_for_the_web_app_is_not_taken_for_a_request(world: World) -> None:
    hidden = post(world.key, WHOLE)
    asked = b"POST /nowhere HTTP/1.1\r\nHost: a\r\ncontent-length: %d\r\n\r\n" % len(hidden)
    async with raw_client(world.base_url) as client:
        await client.say(asked + hidden)
        assert (await client.reply()).status == 404
        await client.say(HEALTH)
        rest = await client.reader.read(65536)
        assert rest == b"" or b'{"status":"ok"}' in rest
        assert b"output_tokens" not in rest


async def test_a_large_body_for_the_web_app_leaves_nothing_behind(lane: tuple[Lane, str]) -> None:
    counting, url = lane
    before = asyncio.all_tasks()
    async with raw_client(url) as client:
        asked = HEALTH.replace(b"GET", b"POST")[:-2] + b"content-length: 5000000\r\n\r\n"
        client.writer.write(asked + bytes(5_000_000))
        assert (await client.reply()).status in {404, 405}
    await until_empty(counting)
    async with asyncio.timeout(3):
        while left := {
            each for each in asyncio.all_tasks() - before if "Lifespan" not in repr(each)
        }:
            await asyncio.sleep(0.05)
    assert not left


async def test_a_handed_over_client_that_hangs_up_stops_its_call(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    upstream.always("anthropic-1", Play(stall_before="head"))
    async with running_world(tmp_path, upstream, GATEWAY_DISCONNECT="cancel") as world:
        async with raw_client(world.base_url) as client:
            assert (await client.ask(HEALTH)).status == 200
            await client.say(post(world.key, WHOLE))
            while not upstream.requests:
                await asyncio.sleep(0.01)
        (row,) = await world.rows(1, seconds=3)
        assert (row.status, row.error) == (499, "client_left")
