"""What attackers do, in a process of their own.

`python -m tests.attacks.attackers NAME WAY PORT KEY`.

WAY is how a connection begins: `direct`, `handed` (another path is asked first), `web` (only paths
of the web app are asked) or `h2`. It prints "up" once the attack is under way, and goes on until
it is killed.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events
import h2.settings
import uvloop

ADDRESS = "127.0.0.2"
HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
CALL = b'{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"x"}]'
STREAM = CALL + b',"stream":true}'
PIECE = bytes(1 << 16)
BODY = 100_000_000


@dataclass(slots=True)
class Line:
    """An attacker's connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()


class Attack:
    """Runs one behaviour on many connections. `begun` counts those that got as far as it wants."""

    def __init__(self, way: str, port: int, key: str) -> None:
        self.way = way
        self.key = key.encode()
        self.begun = 0
        self._port = port

    def head(self, *lines: bytes) -> bytes:
        """Return the beginning of a call's head; the lines end it if the last is empty."""
        path = b"/health" if self.way == "web" else b"/v1/messages"
        first = b"POST %b HTTP/1.1\r\nHost: a\r\nx-api-key: %b\r\n" % (path, self.key)
        return first + b"".join(line + b"\r\n" for line in lines)

    async def line(self, receive_buffer: int = 0) -> Line:
        """Connect."""
        raw = socket.socket()
        raw.setblocking(False)
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.bind((ADDRESS, 0))
        try:
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self._port))
        except BaseException:
            raw.close()
            raise
        line = Line(*await asyncio.open_connection(sock=raw, limit=receive_buffer or 1 << 16))
        if self.way == "handed":
            await line.say(HEALTH)
            await line.reader.readuntil(b"\n")
            await line.reader.readuntil(b'"ok"}\n')
        return line

    async def on_many(
        self, count: int, behave: Callable[[Line], Awaitable[None]], *, receive_buffer: int = 0
    ) -> None:
        """Let `count` connections behave so, again and again."""
        connecting = asyncio.Semaphore(50)

        async def one() -> None:
            while True:
                line = None
                with suppress(OSError, EOFError, RuntimeError):  # closed, in one of its ways
                    async with connecting:
                        line = await self.line(receive_buffer)
                    await behave(line)
                if line is not None:
                    line.writer.transport.abort()
                await asyncio.sleep(0.05)

        await asyncio.gather(*(one() for _ in range(count)))

    def machine(self, window: int = 65535) -> h2.connection.H2Connection:
        """Return HTTP/2's client side, its greeting prepared."""
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        machine = h2.connection.H2Connection(config)
        machine.local_settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = window
        machine.local_settings.acknowledge()
        machine.initiate_connection()
        return machine

    def ask(self, machine: h2.connection.H2Connection, path: bytes, body: bytes = b"") -> int:
        """Prepare a request over HTTP/2."""
        stream = machine.get_next_available_stream_id()
        headers = [
            (b":method", b"POST" if body else b"GET"), (b":path", path), (b":scheme", b"http"),
            (b":authority", b"a"), (b"x-api-key", self.key),
        ]  # fmt: skip
        machine.send_headers(stream, headers, end_stream=not body)
        if body:
            machine.send_data(stream, body, end_stream=True)
        return stream


async def slow_heads(attack: Attack) -> None:
    """2,000 connections send a head a byte a second."""

    async def behave(line: Line) -> None:
        if attack.way == "h2":
            machine = attack.machine()
            # A HEADERS frame of 16,000 bytes, whose bytes come one by one.
            await line.say(machine.data_to_send() + b"\x00\x3e\x80\x01\x04\x00\x00\x00\x01")
        else:
            await line.say(attack.head() + b"x-slow: ")
        attack.begun += 1
        while True:
            await asyncio.sleep(1)
            await line.say(b"a")
            if line.reader.at_eof():
                return

    await attack.on_many(2000, behave)


async def slow_bodies(attack: Attack) -> None:
    """1,000 connections send a body 100 bytes at a time."""

    async def behave(line: Line) -> None:
        await line.say(attack.head(b"content-length: 60000", b"") + b"{")
        attack.begun += 1
        while not line.reader.at_eof():
            await asyncio.sleep(1)
            await line.say(b" " * 100)

    await attack.on_many(1000, behave)


async def slow_readers(attack: Attack) -> None:
    """500 clients read their streams at 1 KB/s."""

    async def behave(line: Line) -> None:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it has it
        if attack.way == "h2":
            machine = attack.machine(window=1 << 20)
            attack.ask(machine, b"/v1/messages", STREAM)
            await line.say(machine.data_to_send())
        else:
            await line.say(attack.head(b"content-length: %d" % len(STREAM), b"") + STREAM)
        attack.begun += 1
        raw = line.writer.get_extra_info("socket")
        descriptor = raw.fileno()
        while True:
            await asyncio.sleep(1)
            with suppress(BlockingIOError):
                if not os.read(descriptor, 1024):
                    return

    await attack.on_many(500, behave, receive_buffer=4096)


async def large_bodies(attack: Attack, *, chunked: bool) -> None:
    """8 connections send bodies of 100 MB as fast as they can; what they say is no JSON."""

    async def behave(line: Line) -> None:
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % BODY
        await line.say(attack.head(framing, b""))
        attack.begun += 1
        for _ in range(BODY // len(PIECE)):
            await line.say(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
            if line.reader.at_eof():
                return
        await line.say(b"0\r\n\r\n" if chunked else bytes(BODY % len(PIECE)))
        await line.reader.read(65536)

    await attack.on_many(8, behave)


async def pipelining(attack: Attack) -> None:
    """20 connections send 1,000 requests at once, and read the replies."""
    asked = b"GET /v1/models/none HTTP/1.1\r\nHost: a\r\nx-api-key: %b\r\n\r\n" % attack.key
    if attack.way == "web":
        asked = HEALTH

    async def behave(line: Line) -> None:
        if attack.way == "h2":
            await many_streams(line)
            return
        while not line.reader.at_eof():
            line.writer.write(asked * 1000)
            answers = 0
            while answers < 1000:
                data = await line.reader.read(1 << 18)
                if not data:
                    return
                answers += data.count(b"HTTP/1.1 ")
                attack.begun += 1

    async def many_streams(line: Line) -> None:
        machine = attack.machine()
        running = 0
        while not line.reader.at_eof():
            for _ in range(100 - running):
                attack.ask(machine, b"/v1/models/none")
                running += 1
            await line.say(machine.data_to_send())
            for event in machine.receive_data(await line.reader.read(1 << 18)):
                running -= isinstance(event, h2.events.StreamEnded)
                attack.begun += 1
                if isinstance(event, h2.events.DataReceived):
                    size = event.flow_controlled_length
                    machine.acknowledge_received_data(size, event.stream_id)

    await attack.on_many(20, behave)


async def rapid_resets(attack: Attack) -> None:
    """10 connections open streams and reset them at once (CVE-2023-44487)."""

    async def behave(line: Line) -> None:
        machine = attack.machine()
        while not line.reader.at_eof():
            for _ in range(50):
                stream = attack.ask(machine, b"/v1/models/none")
                machine.reset_stream(stream)
            attack.begun += 1
            await line.say(machine.data_to_send())
            with suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    machine.receive_data(await line.reader.read(1 << 18))

    await attack.on_many(10, behave)


async def pings(attack: Attack) -> None:
    """10 connections send PING frames and never read what comes back."""

    async def behave(line: Line) -> None:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it has it
        machine = attack.machine()
        await line.say(machine.data_to_send())
        for _ in range(20_000):
            machine.ping(b"12345678")
        data = machine.data_to_send()
        attack.begun += 1
        while True:
            await line.say(data)

    await attack.on_many(10, behave, receive_buffer=4096)


async def comings(attack: Attack) -> None:
    """Connections come, up to 50 at a time, and go at once."""

    async def behave(line: Line) -> None:
        attack.begun += 1

    await attack.on_many(50, behave)


async def stayings(attack: Attack) -> None:
    """3,000 connections come and stay, of which a cap lets 200 in."""

    async def behave(line: Line) -> None:
        attack.begun += 1
        await line.reader.read(1)
        await asyncio.sleep(1)

    await attack.on_many(3000, behave)


ATTACKS: dict[str, tuple[Callable[[Attack], Awaitable[None]], int]] = {
    "slow heads": (slow_heads, 1900),
    "slow bodies": (slow_bodies, 950),
    "slow readers": (slow_readers, 480),
    "large bodies": (lambda attack: large_bodies(attack, chunked=False), 8),
    "large chunked bodies": (lambda attack: large_bodies(attack, chunked=True), 8),
    "pipelining": (pipelining, 20),
    "rapid resets": (rapid_resets, 10),
    "pings": (pings, 10),
    "comings": (comings, 100),
    "stayings": (stayings, 200),
}
"""Each with how much must have begun before it counts as under way."""


async def main() -> None:
    """Attack."""
    name, way, port, key = sys.argv[1:]
    run, enough = ATTACKS[name]
    attack = Attack(way, int(port), key)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run(attack))  # type: ignore[arg-type]  # a coroutine
        while attack.begun < enough and not running.done():
            await asyncio.sleep(0.05)
        print("up", flush=True)


if __name__ == "__main__":
    os.setpriority(os.PRIO_PROCESS, 0, 19)  # the honest clients share its core
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(main())
