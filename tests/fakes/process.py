"""`sub2api serve` as a process of its own, as a service manager would start it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_INHERIT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "sub2api", "serve"])
"""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(backlog: int = 4096) -> socket.socket:
    """Return a listening socket, as a service manager makes it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(backlog)
    return listener


class Served:
    """A running gateway."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, ear: socket.socket) -> None:
        self.process = process
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}"
        self._ear = ear

    async def hears(self, state: bytes, seconds: float = 30) -> list[bytes]:
        """Wait until it tells its supervisor so; return all that it has told until then."""
        heard: list[bytes] = []
        async with asyncio.timeout(seconds):
            while state not in heard:
                heard.append(await asyncio.get_running_loop().sock_recv(self._ear, 99))
        return heard

    async def ready(self) -> None:
        """Wait until it accepts connections."""
        await self.hears(b"READY=1")

    def stop(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    async def stopped(self, seconds: float = 30) -> int:
        """Send SIGTERM and wait; return the exit code."""
        self.stop()
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    def resident(self) -> int:
        """Return its resident memory in bytes (Linux)."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def served(
    directory: Path, listener: socket.socket | None = None, port: int = 0, **environment: str
) -> AsyncIterator[Served]:
    """Run `sub2api serve`, on an inherited socket if there is one; kill it if it does not end."""
    port = listener.getsockname()[1] if listener else port or free_port()
    ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ear.setblocking(False)
    address = f"sub2api-test-{os.getpid()}-{id(ear)}"
    ear.bind(f"\0{address}")
    mode = {"RUN_MODE": "simple", "DATA_DIR": str(directory), "SERVER_PORT": str(port)}
    environ = {**os.environ, **mode, "NOTIFY_SOCKET": f"@{address}", **environment}
    if listener is None:
        command, fds = ["-m", "sub2api", "serve"], ()
    else:
        command, fds = ["-c", _INHERIT, str(listener.fileno())], (listener.fileno(),)
    with (directory / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, env=environ, pass_fds=fds, stdout=log, stderr=log
        )
    try:
        yield Served(process, port, ear)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        ear.close()
