"""Stopping and starting `sub2api serve`: nobody is cut off early, refused or forgotten."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sub2api.demo.script import Play
from sub2api.demo.upstream import DemoUpstream
from tests.fakes.process import free_port, listening, served
from tests.fakes.raw_client import HEALTH, STREAM, WHOLE, Http2Client, post, raw_client
from tests.fakes.world import running_world

LANES = pytest.mark.parametrize("express_lane", ["true", "false"], ids=["express", "web app"])


@pytest.fixture
async def key(tmp_path: Path, upstream: DemoUpstream) -> str:
    """A key of the gateway that lives in `tmp_path`."""
    async with running_world(tmp_path, upstream) as world:
        return world.key


async def is_refused(port: int) -> bool:
    try:
        async with raw_client(f"http://127.0.0.1:{port}"):
            return False
    except ConnectionRefusedError:
        return True


@LANES
async def test_a_stop_ends_what_is_idle_and_waits_for_what_runs(
    tmp_path: Path, upstream: DemoUpstream, key: str, express_lane: str
) -> None:
    upstream.always("anthropic-1", Play(delay=0.15))
    async with served(tmp_path, SERVER_EXPRESS_LANE=express_lane) as gateway:
        await gateway.ready()
        async with (
            raw_client(gateway.base_url) as idle,
            raw_client(gateway.base_url) as handed_over,
            raw_client(gateway.base_url) as running,
        ):
            assert (await idle.ask(post(key, WHOLE))).status == 200
            assert (await handed_over.ask(HEALTH)).status == 200
            await running.say(post(key, STREAM))
            status, _ = await running.head()
            gateway.stop()
            assert await idle.ended(seconds=2)
            assert await handed_over.ended(seconds=2)
            assert await is_refused(gateway.port)
            assert gateway.process.returncode is None
            async with asyncio.timeout(20):
                text = await running.reader.readuntil(b"0\r\n\r\n")
            assert (status, text.count(b"event: message_stop")) == (200, 1)
            assert await running.ended(seconds=2)
        async with asyncio.timeout(10):
            assert await gateway.process.wait() == 0
    async with running_world(tmp_path, upstream) as world:
        rows = await world.rows(2)
        assert {(row.error, row.settled_by) for row in rows} == {("", "observed")}


async def test_a_stop_waits_for_http_2_as_well(
    tmp_path: Path, upstream: DemoUpstream, key: str
) -> None:
    upstream.always("anthropic-1", Play(delay=0.1))
    async with served(tmp_path) as gateway:
        await gateway.ready()
        async with raw_client(gateway.base_url) as client:
            http2 = await Http2Client.begin(client)
            stream = http2.ask("/v1/messages", key, STREAM)
            await http2.flush()
            while not upstream.entries:
                await asyncio.sleep(0.01)
            gateway.stop()
            (answer,) = await http2.until_ended(stream)
            assert b"message_stop" in answer.body
        async with asyncio.timeout(10):
            assert await gateway.process.wait() == 0


@LANES
async def test_a_stream_without_end_is_cut_and_booked(
    tmp_path: Path, upstream: DemoUpstream, key: str, express_lane: str
) -> None:
    upstream.always("anthropic-1", Play(stall_after=6))
    environment = {"SERVER_DRAIN_SECONDS": "1", "SERVER_EXPRESS_LANE": express_lane}
    loop = asyncio.get_running_loop()
    async with served(tmp_path, **environment) as gateway:
        await gateway.ready()
        async with raw_client(gateway.base_url) as client:
            await client.say(post(key, STREAM))
            await client.head()
            began = loop.time()
            gateway.stop()
            async with asyncio.timeout(10):
                with suppress(ConnectionError):
                    assert b"message_stop" not in await client.reader.read(-1)
            assert 0.8 < loop.time() - began < 4
        async with asyncio.timeout(10):
            assert await gateway.process.wait() == 0
    upstream.always("anthropic-1", None)
    async with running_world(tmp_path, upstream) as world:
        (row,) = await world.rows(1)
        assert row.input_tokens > 0
        assert row.cost
        assert row.error


async def test_a_supervisor_is_kept_informed(
    tmp_path: Path, upstream: DemoUpstream, key: str
) -> None:
    upstream.always("anthropic-1", Play(delay=0.1))
    async with served(tmp_path, WATCHDOG_USEC="200000") as gateway:
        assert await gateway.hears(b"READY=1") == [b"READY=1"]
        async with raw_client(gateway.base_url) as client:
            await gateway.hears(b"WATCHDOG=1")
            await client.say(post(key, STREAM))
            await client.head()
            gateway.stop()
            await gateway.hears(b"STOPPING=1")
            assert gateway.process.returncode is None
        async with asyncio.timeout(20):
            assert await gateway.process.wait() == 0


async def test_a_socket_of_the_file_system_hears_it_too(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "ear"))
        ear.settimeout(20)
        async with served(tmp_path, NOTIFY_SOCKET=str(tmp_path / "ear")) as gateway:
            assert await asyncio.to_thread(ear.recv, 99) == b"READY=1"
            assert await gateway.stopped() == 0
            assert await asyncio.to_thread(ear.recv, 99) == b"STOPPING=1"


# Restarts under load.


class Load:
    """Clients that come, ask once and go, over and over."""

    def __init__(self, base_url: str, key: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self._base_url = base_url
        self._asked = post(key, WHOLE, "connection: close")
        self._done = False

    @asynccontextmanager
    async def running(self, clients: int = 8) -> AsyncIterator[None]:
        """Let them come until the end of the block."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(clients):
                tasks.create_task(self._come_and_go())
            try:
                yield
            finally:
                self._done = True

    async def more(self, count: int) -> None:
        """Wait for so many further replies."""
        wanted = self.outcomes.total() + count
        async with asyncio.timeout(30):
            while self.outcomes.total() < wanted:
                await asyncio.sleep(0.02)

    async def _come_and_go(self) -> None:
        while not self._done:
            try:
                async with raw_client(self._base_url) as client:
                    self.outcomes[str((await client.ask(self._asked)).status)] += 1
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.outcomes[type(error).__name__] += 1
                await asyncio.sleep(0.01)


async def test_a_restart_on_an_inherited_socket_loses_nobody(
    tmp_path: Path, upstream: DemoUpstream, key: str
) -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        load = Load(f"http://127.0.0.1:{port}", key)
        async with served(tmp_path, listener) as first:
            await first.ready()
            async with load.running():
                await load.more(100)
                assert await first.stopped() == 0
                async with served(tmp_path, listener) as second:
                    await load.more(200)  # those who came between them have waited
                    assert await second.stopped() == 0
                    async with served(tmp_path, listener) as third:
                        await load.more(100)
                        load._done = True
                        await asyncio.sleep(0.5)
                        assert await third.stopped() == 0
    assert set(load.outcomes) == {"200"}, load.outcomes


async def test_a_restart_with_a_shared_port_refuses_nobody(
    tmp_path: Path, upstream: DemoUpstream, key: str
) -> None:
    port = free_port()
    load = Load(f"http://127.0.0.1:{port}", key)
    async with served(tmp_path, port=port, SERVER_REUSE_PORT="true") as first:
        await first.ready()
        async with load.running():
            await load.more(100)
            async with served(tmp_path, port=port, SERVER_REUSE_PORT="true") as second:
                await second.ready()
                await load.more(100)  # both serve now
                assert await first.stopped() == 0
                await load.more(200)
                load._done = True
                await asyncio.sleep(0.5)
                assert await second.stopped() == 0
    # Whoever the kernel has queued at the first listener in the moment it closes is reset: that is
    # why the manual recommends socket activation, which promises more (see the test above).
    assert set(load.outcomes) <= {"200", "ConnectionResetError"}, load.outcomes
    assert load.outcomes["ConnectionResetError"] <= load.outcomes["200"] / 50, load.outcomes
