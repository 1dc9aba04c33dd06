from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sub2api.clock import Clock
from sub2api.settings import Settings, load
from sub2api.updates.confirmation import proving
from sub2api.updates.installation import Installation

OLD = "sub2api-1.0.0-cp311-linux_x86_64.pyz"
NEW = "sub2api-1.1.0-cp311-linux_x86_64.pyz"


class Door:
    """Answers /ready with `status`; `asked` is set whenever somebody did."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.asked = asyncio.Event()
        self.port = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        writer.write(f"HTTP/1.1 {self.status}\r\ncontent-length: 0\r\n\r\n".encode())
        writer.close()

    async def was_asked(self, times: int) -> None:
        for _ in range(times):
            self.asked.clear()
            await asyncio.wait_for(self.asked.wait(), 20)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path)
    made.releases.mkdir()
    for name in (OLD, NEW):
        (made.releases / name).write_text("")
    (made.releases / "current").symlink_to(OLD)
    made.swap(NEW)
    return made


def settings(installation: Installation, door: Door, seconds: float) -> Settings:
    environ = {
        "RUN_MODE": "simple",
        "UPDATE_DIRECTORY": str(installation.directory),
        "SERVER_HOST": "0.0.0.0",
        "SERVER_PORT": str(door.port),
        "UPDATE_CONFIRM_SECONDS": str(seconds),
    }
    return load(environ=environ)


async def gone(path: Path) -> None:
    async with asyncio.timeout(20):
        while path.exists():
            await asyncio.sleep(0.05)


async def test_a_release_that_answers_long_enough_confirms_itself(
    installation: Installation,
) -> None:
    door = Door()
    async with door.open():
        chosen = settings(installation, door, 1)
        async with proving(chosen, Clock(), installation.releases / NEW):
            await gone(installation.releases / "pending.json")
    assert installation.current() == NEW


async def test_one_that_answers_with_errors_does_not(installation: Installation) -> None:
    door = Door()
    door.status = "503 Service Unavailable"
    ours = installation.releases / NEW
    async with door.open(), proving(settings(installation, door, 0), Clock(), ours):
        await door.was_asked(2)
    assert installation.pending() is not None


async def test_a_failure_in_between_starts_the_count_again(installation: Installation) -> None:
    door = Door()
    ours = installation.releases / NEW
    async with door.open(), proving(settings(installation, door, 2.5), Clock(), ours):
        await door.was_asked(2)
        door.status = "500 Oh"
        await door.was_asked(2)
    assert installation.pending() is not None


async def test_a_release_that_was_replaced_stops_itself(installation: Installation) -> None:
    door = Door()
    stopped = asyncio.Event()
    async with door.open():
        chosen = settings(installation, door, 99)
        async with proving(chosen, Clock(), installation.releases / NEW, stopped.set):
            installation.take_back()
            await asyncio.wait_for(stopped.wait(), 20)


async def test_a_program_that_was_not_installed_looks_at_nothing(
    installation: Installation,
) -> None:
    door = Door()
    stopped = asyncio.Event()
    async with proving(settings(installation, door, 0), Clock(), Path("/usr/bin/x"), stopped.set):
        installation.take_back()
        await asyncio.sleep(1.5)
    assert not stopped.is_set()
