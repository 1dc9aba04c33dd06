"""Everything at once: each client gets one whole reply, and in the end nobody holds anything."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sub2api.demo.script import Play, Raw, Refuse, Step
from sub2api.demo.upstream import DemoUpstream
from sub2api.model.limits import Limits
from tests.fakes.holding import MESSAGES, nothing_is_left, start
from tests.fakes.redis_server import RedisServer, running_redis
from tests.fakes.world import World, running_world

ACCOUNTS = ("a1", "a2", "a3", "a4")
STEPS: tuple[Step, ...] = (
    Play(delay=0.01), Play(delay=0.03), Play(error_after=2), Play(cut_after=3), Play(cut_after=0),
    Refuse(429, headers=(("retry-after", "1"),)), Refuse(500), Refuse(400, message="bad"),
    Raw(b"", reset=True),
)  # fmt: skip
SETTINGS = {
    "GATEWAY_KEEPALIVE_SECONDS": "0.2",
    "GATEWAY_SCHEDULING_FALLBACK_WAIT_TIMEOUT": "3",
    "GATEWAY_SCHEDULING_STICKY_SESSION_WAIT_TIMEOUT": "2",
    "GATEWAY_DRAIN_SECONDS": "2",
}


@pytest.fixture(params=["memory", "redis"])
def redis(request: pytest.FixtureRequest) -> Iterator[RedisServer | None]:
    if request.param == "memory":
        yield None
        return
    with running_redis() as server:
        yield server


class Storm:
    """Clients that come, stay or leave, while accounts fail and come and go."""

    def __init__(self, world: World, keys: list[str], seed: int) -> None:
        self._world = world
        self._keys = keys
        self._chance = random.Random(seed)
        self.replies: list[httpx.Response] = []
        self.left = 0

    async def client(self) -> None:
        """Call once, some time within two seconds; one in four leaves early."""
        chance = self._chance
        await asyncio.sleep(chance.uniform(0, 2))
        body = {**MESSAGES[2], "stream": chance.random() < 0.7}
        headers = {
            "x-api-key": chance.choice(self._keys),
            "x-claude-code-session-id": f"s{chance.randrange(8)}",
        }
        stays = chance.uniform(0.001, 1.0) if chance.random() < 0.25 else 60.0
        url = self._world.base_url + MESSAGES[1]
        try:
            async with asyncio.timeout(stays), httpx.AsyncClient(timeout=60) as client:
                self.replies.append(await client.post(url, json=body, headers=headers))
        except TimeoutError:
            assert stays < 60, "a call was never answered"
            self.left += 1
        except httpx.RemoteProtocolError:
            pytest.fail("a reply was cut")

    async def weather(self) -> None:
        """Let accounts come and go until cancelled."""
        for name in ACCOUNTS * 100:
            await asyncio.sleep(0.15)
            self._world.upstream.script(name, *self._chance.choices(STEPS, k=6))
            status = "disabled" if self._chance.random() < 0.3 else "active"
            await self._world.change_account(name, status=status)


def is_whole(reply: httpx.Response) -> bool:
    """Whether it says how the call ended, once."""
    if not reply.headers["content-type"].startswith("text/event-stream"):
        return reply.json()["type"] in {"message", "error"}
    ends = reply.content.count(b"event: message_stop") + reply.content.count(b"event: error")
    return ends == 1 and reply.content.count(b"event: message_start") <= 1


@pytest.mark.parametrize("seed", [1])
async def test_in_a_storm_every_call_is_answered_once_and_nothing_is_left(
    tmp_path: Path, upstream: DemoUpstream, redis: RedisServer | None, seed: int
) -> None:
    settings = {**SETTINGS, "REDIS_URL": redis.url if redis else ""}
    async with running_world(tmp_path, upstream, bare=True, **settings) as world:
        for name in ACCOUNTS:
            await world.add_account("anthropic", name, concurrency=2, limits=Limits(rpm=60))
            upstream.always(name, Play(delay=0.01))
        limits = Limits(tpm=10**6, cost_day=10**12)
        keys = [await world.add_key(f"k{n}", concurrency=3, limits=limits) for n in range(3)]
        storm = Storm(world, keys, seed)
        weather = start(storm.weather())
        clients = [start(storm.client()) for _ in range(80)]
        await asyncio.gather(*clients)
        weather.cancel()
        await asyncio.wait([weather])
        assert len(storm.replies) + storm.left == 80
        assert storm.left >= 3
        assert all(is_whole(reply) for reply in storm.replies), storm.replies
        statuses = {reply.status_code for reply in storm.replies}
        assert 200 in statuses
        assert statuses <= {200, 400, 429, 502, 503, 529}
        await nothing_is_left(world)
