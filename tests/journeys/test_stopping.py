"""Stopping and starting again, as a service manager does it: nobody is cut off or refused."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from sub2api.demo.script import Play
from sub2api.demo.upstream import DemoUpstream
from tests.fakes.world import running_world

CALL = {"model": "claude-sonnet-4-5", "max_tokens": 9,
        "messages": [{"role": "user", "content": "Say hello"}]}  # fmt: skip
INHERIT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "sub2api", "serve"])
"""


@pytest.fixture
async def key(tmp_path: Path, upstream: DemoUpstream) -> str:
    """A key of the gateway that lives in `tmp_path`."""
    async with running_world(tmp_path, upstream) as world:
        return world.key


def listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    return listener


@asynccontextmanager
async def serving(
    directory: Path, listener: socket.socket | None = None, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `sub2api serve`, on an inherited socket if there is one; kill it if it does not end."""
    environ = {**os.environ, "RUN_MODE": "simple", "DATA_DIR": str(directory), **environment}
    if listener is None:
        command, fds = ["-m", "sub2api", "serve"], ()
    else:
        command, fds = ["-c", INHERIT, str(listener.fileno())], (listener.fileno(),)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environ, pass_fds=fds,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def answered(port: int, key: str, seconds: float = 30.0) -> None:
    """Wait until a call is answered."""
    # One call, however long the start takes: an inherited socket keeps it waiting.
    async with asyncio.timeout(seconds), httpx.AsyncClient(timeout=seconds) as client:
        while True:
            try:
                url = f"http://127.0.0.1:{port}/v1/messages"
                reply = await client.post(url, json=CALL, headers={"x-api-key": key})
                assert reply.status_code == 200
            except httpx.HTTPError:
                await asyncio.sleep(0.05)
            else:
                return


async def stopped(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        return await process.wait()


async def test_running_streams_end_properly_before_the_process_does(
    tmp_path: Path, upstream: DemoUpstream, key: str
) -> None:
    upstream.always("anthropic-1", Play(delay=0.1))
    listener = listening()
    port = listener.getsockname()[1]
    async with serving(tmp_path, listener) as process:
        await answered(port, key)
        idle = await asyncio.open_connection("127.0.0.1", port)
        async with httpx.AsyncClient(timeout=30) as client:
            url, headers = f"http://127.0.0.1:{port}/v1/messages", {"x-api-key": key}
            body = {**CALL, "stream": True}
            async with client.stream("POST", url, json=body, headers=headers) as reply:
                chunks = reply.aiter_raw()
                text = await anext(chunks)
                ending = asyncio.ensure_future(stopped(process))
                async for chunk in chunks:
                    text += chunk
        assert b"message_stop" in text
        assert await ending == 0
        assert await idle[0].read() == b""
        idle[1].close()
    listener.close()
    async with running_world(tmp_path, upstream) as world:
        rows = await world.rows(2)
        assert {row.settled_by for row in rows} == {"observed"}


async def test_a_stream_without_end_is_cut_and_settled(
    tmp_path: Path, upstream: DemoUpstream, key: str
) -> None:
    listener = listening()
    port = listener.getsockname()[1]
    async with serving(tmp_path, listener, SERVER_DRAIN_SECONDS="1") as process:
        await answered(port, key)
        upstream.always("anthropic-1", Play(stall_after=6))
        async with httpx.AsyncClient(timeout=30) as client:
            url, headers = f"http://127.0.0.1:{port}/v1/messages", {"x-api-key": key}
            body = {**CALL, "stream": True}
            async with client.stream("POST", url, json=body, headers=headers) as reply:
                chunks = reply.aiter_raw()
                await anext(chunks)
                ending = asyncio.ensure_future(stopped(process))
                with pytest.raises(httpx.HTTPError):
                    [chunk async for chunk in chunks]
        assert await ending == 0
    listener.close()
    upstream.always("anthropic-1", None)
    async with running_world(tmp_path, upstream) as world:
        newest, _ = await world.rows(2)
        assert newest.input_tokens > 0


async def test_a_supervisor_hears_how_it_goes(
    tmp_path: Path, upstream: DemoUpstream, key: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.setblocking(False)
        loop = asyncio.get_running_loop()
        listener = listening()
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        async with serving(tmp_path, listener, **environment) as process, asyncio.timeout(30):
            assert await loop.sock_recv(ear, 99) == b"READY=1"
            assert await loop.sock_recv(ear, 99) == b"WATCHDOG=1"
            assert await loop.sock_recv(ear, 99) == b"WATCHDOG=1"
            assert await stopped(process) == 0
            heard = b""
            while heard != b"STOPPING=1":
                heard = await loop.sock_recv(ear, 99)
        listener.close()


async def test_a_restart_on_an_inherited_socket_refuses_nobody(
    tmp_path: Path, upstream: DemoUpstream, key: str
) -> None:
    listener = listening()
    port = listener.getsockname()[1]
    done = asyncio.Event()
    answers: list[int] = []

    async def call_on_and_on() -> None:
        url, headers = f"http://127.0.0.1:{port}/v1/messages", {"x-api-key": key}
        while not done.is_set():
            async with httpx.AsyncClient(timeout=30) as client:
                reply = await client.post(url, json=CALL, headers=headers)
                answers.append(reply.status_code)

    async with asyncio.TaskGroup() as tasks:
        async with serving(tmp_path, listener) as first:
            await answered(port, key)
            for _ in range(8):
                tasks.create_task(call_on_and_on())
            await asyncio.sleep(0.5)
            assert await stopped(first) == 0
        async with serving(tmp_path, listener) as second:
            before = len(answers)
            while len(answers) < before + 50:
                await asyncio.sleep(0.05)
            done.set()
            await asyncio.sleep(0.5)
            assert await stopped(second) == 0
    listener.close()
    assert set(answers) == {200}


async def test_the_next_process_may_start_before_this_one_stops(
    tmp_path: Path, upstream: DemoUpstream, key: str
) -> None:
    with listening() as probe:
        port = probe.getsockname()[1]
    environment = {"SERVER_PORT": str(port), "SERVER_REUSE_PORT": "true"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.setblocking(False)
        told = {**environment, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with serving(tmp_path, **environment) as first:
            await answered(port, key)
            async with serving(tmp_path, **told) as second:
                async with asyncio.timeout(30):
                    ready = await asyncio.get_running_loop().sock_recv(ear, 99)
                assert ready == b"READY=1"
                assert await stopped(first) == 0
                for _ in range(20):
                    await answered(port, key, seconds=5)
                assert await stopped(second) == 0
