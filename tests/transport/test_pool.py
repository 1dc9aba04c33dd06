"""Reuse, limits, fairness, staleness and what the pool gives back."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from sub2api.errors import TransportError
from sub2api.transport.pool import Pool
from tests.transport.peers import (
    OK,
    Received,
    SetClock,
    answering,
    ask,
    listening,
    pooling,
    read_request,
    silent,
)  # fmt: skip
from tests.transport.replies import cause_of, whole


async def test_calls_one_after_the_other_use_one_connection(pool: Pool) -> None:
    async with listening(answering(OK)) as peer:
        for _ in range(10):
            assert await whole(pool, peer) == b"ok"
        assert peer.accepted == 1
        assert pool.connections("a") == (1, 1)


async def test_lanes_share_no_connections(pool: Pool) -> None:
    async with listening(answering(OK)) as peer:
        await whole(pool, peer, lane="a")
        await whole(pool, peer, lane="b")
        assert peer.accepted == 2


async def test_the_connection_that_was_used_last_is_used_first() -> None:
    clock = SetClock()
    async with pooling(clock=clock, idle_seconds=90.0) as pool, listening(answering(OK)) as peer:
        first = await ask(pool, peer.url)
        second = await ask(pool, peer.url)
        await first.read(9)
        clock.moment += 60
        await second.read(9)
        clock.moment += 60  # the first has been idle for 120 s, the second for 60 s
        await whole(pool, peer)
        assert peer.accepted == 2
        pool.sweep()
        assert pool.connections("a") == (1, 1)


async def test_a_request_goes_out_as_one_well_formed_message(pool: Pool) -> None:
    log: list[Received] = []
    async with listening(answering(OK, log=log)) as peer:
        await whole(
            pool,
            peer,
            body=b'{"a":1}',
            headers=((b"x-api-key", b"k"), (b"host", b"evil"), (b"content-type", b"a/b")),
        )
        await whole(pool, peer, method="GET", body=b"", headers=((b"accept-encoding", b"br"),))
    host = ("host", f"127.0.0.1:{peer.port}")
    assert log[0].line == "POST / HTTP/1.1"
    assert log[0].headers == [
        host, ("x-api-key", "k"), ("content-type", "a/b"),
        ("accept-encoding", "identity"), ("content-length", "7"),
    ]  # fmt: skip
    assert log[0].body == b'{"a":1}'
    assert log[1].headers == [host, ("accept-encoding", "br")]


async def test_redirects_are_not_followed(pool: Pool) -> None:
    moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    async with listening(answering(moved)) as peer:
        response = await ask(pool, peer.url)
        assert response.status == 302
        assert await response.read(9) == b""


async def test_an_idle_connection_to_another_host_makes_room(pool: Pool) -> None:
    async with listening(answering(OK)) as one, listening(answering(OK)) as other:
        await whole(pool, one, limit=1)
        await whole(pool, other, limit=1)
        await one.until_open(0)
        assert pool.connections("a") == (1, 1)


async def test_a_lowered_limit_holds_at_once(pool: Pool) -> None:
    async with listening(answering(OK)) as peer:
        await asyncio.gather(*(whole(pool, peer, limit=3) for _ in range(3)))
        assert pool.connections("a") == (3, 3)
    async with listening(silent()) as peer:
        hanging = asyncio.get_running_loop().create_task(ask(pool, peer.url, limit=1))
        await peer.until_open(1)
        assert pool.connections("a") == (1, 0)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    clock = SetClock()
    async with pooling(clock=clock, idle_seconds=90.0) as pool, listening(answering(OK)) as peer:
        await whole(pool, peer)
        clock.moment += 89
        await whole(pool, peer)
        assert peer.accepted == 1
        clock.moment += 91
        await whole(pool, peer)  # checked at use
        assert peer.accepted == 2
        clock.moment += 91
        pool.sweep()
        assert pool.connections("a") == (0, 0)
        await peer.until_open(0)


async def test_the_sweep_runs_by_itself() -> None:
    async with pooling(idle_seconds=0.2) as pool, listening(answering(OK)) as peer:
        await whole(pool, peer)
        assert pool.connections("a") == (1, 1)
        await peer.until_open(0)
        assert pool.connections("a") == (0, 0)
        assert await whole(pool, peer) == b"ok"


@pytest.mark.parametrize("parting", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\r\n"])
async def test_a_connection_that_ended_or_spoke_while_idle_is_not_used(
    pool: Pool, parting: bytes
) -> None:
    async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.03)
        writer.write(parting)
        await writer.drain()
        if parting:
            await reader.read()

    async with listening(part) as peer:
        assert await whole(pool, peer) == b"ok"
        assert pool.connections("a") == (1, 1)
        await peer.until_open(0)
        await asyncio.sleep(0.01)
        assert pool.connections("a") == (0, 0)
        assert await whole(pool, peer) == b"ok"
        assert peer.accepted == 2


@pytest.mark.parametrize("idle_for", [0.5, 5.0])
async def test_an_end_that_the_loop_has_not_seen_yet_is_found_before_reuse(idle_for: float) -> None:
    clock = SetClock()
    writers: list[asyncio.StreamWriter] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await answering(OK)(reader, writer)

    async with pooling(clock=clock) as pool, listening(keep) as peer:
        assert await whole(pool, peer) == b"ok"
        clock.moment += idle_for
        raw = socket.socket(fileno=os.dup(writers[0].get_extra_info("socket").fileno()))
        raw.shutdown(socket.SHUT_RDWR)  # nothing runs between this end and the next call
        raw.close()
        if idle_for < 1:  # used a moment ago: not asked, so the call fails and says so
            with pytest.raises(TransportError) as caught:
                await whole(pool, peer)
            assert (caught.value.cause, caught.value.sent) == ("reset", True)
        else:
            assert await whole(pool, peer) == b"ok"
            assert peer.accepted == 2


async def test_a_reused_connection_that_dies_is_reported_and_not_tried_again(pool: Pool) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)

    async with listening(die) as peer:
        await whole(pool, peer)
        with pytest.raises(TransportError) as caught:
            await whole(pool, peer)
        assert (caught.value.cause, caught.value.sent) == ("reset", True)
        assert peer.accepted == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_the_upstream_will_close_is_not_kept(
    pool: Pool, reply: bytes
) -> None:
    async with listening(answering(reply)) as peer:
        for _ in range(3):
            assert await whole(pool, peer) == b"ok"
        assert peer.accepted == 3
        assert pool.connections("a") == (0, 0)


async def test_an_unread_complete_response_holds_no_connection(pool: Pool) -> None:
    async with listening(answering(OK)) as peer:
        responses = [await ask(pool, peer.url, limit=1) for _ in range(5)]
        assert peer.accepted == 1
        assert [await each.read(9) for each in responses] == [b"ok"] * 5


async def test_closing_the_pool_ends_everything_at_once() -> None:
    loop = asyncio.get_running_loop()
    async with pooling() as pool, listening(silent()) as peer:
        busy = loop.create_task(cause_of(ask(pool, peer.url, limit=1)))
        await peer.until_open(1)
        waiting = loop.create_task(cause_of(ask(pool, peer.url, limit=1)))
        await asyncio.sleep(0)
        await pool.close()
        assert await busy == "reset"
        assert await waiting == "busy"
        await peer.until_open(0)
        with pytest.raises(TransportError, match="the pool is closed"):
            await ask(pool, peer.url)
        assert pool.connections("a") == (0, 0)


async def test_closing_the_pool_ends_idle_connections() -> None:
    async with pooling() as pool, listening(answering(OK)) as peer:
        await whole(pool, peer)
        await pool.close()
        await peer.until_open(0)


@pytest.mark.parametrize(
    "url", ["ftp://x.com/", "https://u:s3cret@x.com/", "http://x.com/", "https://10.0.0.1/"]
)
async def test_a_forbidden_url_is_blocked_before_anything_is_sent(pool: Pool, url: str) -> None:
    with pytest.raises(TransportError) as caught:
        await ask(pool, url)
    assert (caught.value.cause, caught.value.sent) == ("blocked", False)
    assert "s3cret" not in str(caught.value)
    assert pool.connections("a") == (0, 0)


async def test_many_urls_do_not_make_the_pool_grow(pool: Pool) -> None:
    async with listening(answering(OK)) as peer:
        for number in range(1100):
            response = await ask(pool, f"{peer.url}{number}")
            await response.read(9)
        await (await ask(pool, peer.url + "x" * 600)).read(9)
    assert len(pool._parsed) <= 1024
    assert not any(len(url) > 512 for url in pool._parsed)
    pool.sweep()
