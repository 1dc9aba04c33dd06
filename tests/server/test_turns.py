"""Connections that send much take turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from sub2api.demo.upstream import DemoUpstream
from sub2api.server.turns import REST, Turns
from tests.fakes.raw_client import HEALTH, WHOLE, post, raw_client
from tests.fakes.world import running_world


async def test_one_connection_a_turn_reads_on() -> None:
    turns, order = Turns(), []

    def resume(name: str) -> None:
        order.append(name)
        if len(order) < 6:
            turns.queue(lambda: resume(name))

    turns.queue(lambda: resume("a"))
    turns.queue(lambda: resume("b"))
    seen = []
    while len(order) < 7:
        seen.append(len(order))
        await asyncio.sleep(0)
    assert seen == list(range(7)), "never two in one turn"
    assert "".join(order[:6]) == "ababab"
    await asyncio.sleep(0)
    assert len(order) == 7


async def test_who_begins_much_gets_turns_after_it_for_nobody_else() -> None:
    turns = Turns()
    began: list[int] = []
    now = 0

    async def begin() -> None:
        await turns.come(rest=3)
        began.append(now)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(begin())
        while len(began) < 4:
            await asyncio.sleep(0)
            now += 1
    assert [later - earlier for earlier, later in pairwise(began)] == [4, 4, 4]


async def test_requests_sent_ahead_take_turns_and_others_do_not_wait_for_one(
    tmp_path: Path, upstream: DemoUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[Callable[[], None]] = []
    take_turn = Turns.queue

    def queue(turns: Turns, resume: Callable[[], None], rest: int = 0) -> None:
        queued.append(resume)
        take_turn(turns, resume, rest)

    monkeypatch.setattr(Turns, "queue", queue)
    async with running_world(tmp_path, upstream) as world, raw_client(world.base_url) as client:
        asked = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nx-api-key: %b\r\n\r\n" % world.key.encode()
        for _ in range(3):
            await client.say(asked)
            assert (await client.reply()).status == 200
        assert not queued
        await client.say(asked * 5)
        assert [(await client.reply()).status for _ in range(5)] == [200] * 5
        assert len(queued) == 4


async def test_whatever_the_web_app_begins_takes_a_turn(
    tmp_path: Path, upstream: DemoUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[int] = []
    take_turn = Turns.queue

    def queue(turns: Turns, resume: Callable[[], None], rest: int = 0) -> None:
        rests.append(rest)
        take_turn(turns, resume, rest)

    async with running_world(tmp_path, upstream) as world, raw_client(world.base_url) as client:
        assert (await client.ask(HEALTH)).status == 200
        monkeypatch.setattr(Turns, "queue", queue)
        for count in range(1, 4):
            assert (await client.ask(HEALTH)).status == 200
            assert rests == [REST] * count
        assert (await client.ask(post(world.key, WHOLE))).status == 200
        assert len(rests) == 3, "the express lane does not wait for itself"
