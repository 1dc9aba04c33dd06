"""kill -9 in the middle of fifty streams: nothing is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from pathlib import Path

import httpx

from sub2api.demo.script import Play
from sub2api.demo.upstream import DemoUpstream
from tests.fakes.world import running_world

STREAMS = 50


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def reachable(port: int) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(200):
            try:
                await client.get(f"http://127.0.0.1:{port}/ready")
            except httpx.HTTPError:
                await asyncio.sleep(0.05)
            else:
                return
    raise AssertionError("the gateway did not start")


async def test_kill_nine_during_fifty_streams_loses_and_doubles_nothing(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream) as world:
        key = world.key
    upstream.always("anthropic-1", Play(delay=0.2))
    port = free_port()
    environ = {**os.environ, "RUN_MODE": "simple", "DATA_DIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sub2api", "serve", "--port", str(port),
        env=environ, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await reachable(port)
        begun = 0

        async def stream(client: httpx.AsyncClient) -> None:
            nonlocal begun
            body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "stream": True,
                    "messages": [{"role": "user", "content": "Say hello"}]}  # fmt: skip
            try:
                async with client.stream("POST", "/v1/messages", json=body) as reply:
                    first = True
                    async for _ in reply.aiter_raw():
                        begun += first
                        first = False
            except (httpx.HTTPError, httpx.StreamError):
                pass

        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base, headers={"x-api-key": key}) as client:
            streams = asyncio.gather(*(stream(client) for _ in range(STREAMS)))
            async with asyncio.timeout(30):
                while begun < STREAMS:
                    await asyncio.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await streams
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    upstream.always("anthropic-1", None)
    async with running_world(tmp_path, upstream) as world:
        rows = await world.rows(STREAMS, seconds=30)
        assert len({row.call_id for row in rows}) == STREAMS
        assert {row.settled_by for row in rows} == {"recovered"}
        assert {row.error for row in rows} == {"interrupted"}
        sent = {entry.usage["input_tokens"] for entry in upstream.entries}
        assert {row.input_tokens for row in rows} == sent
        assert all(row.cost for row in rows)
    with sqlite3.connect(tmp_path / "sub2api.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    async with running_world(tmp_path, upstream) as world:
        await asyncio.sleep(0.3)
        assert len(await world.rows(STREAMS)) == STREAMS
    assert not [path for path in (tmp_path / "journal").glob("*.journal") if path.stat().st_size]
