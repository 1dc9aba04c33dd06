"""What Hypercorn is given to read, and when a connection goes back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sub2api.server.guest import Guest, Outlet
from sub2api.server.lane import NEVER, STALL_SECONDS, Lane
from tests.fakes.world import settings_for

HEAD = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"


class Wire:
    """A transport that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.written = b""
        self.unread = 0
        self.closing = False

    def get_extra_info(self, name: str) -> str:
        return name

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.told.append("eof")

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def close(self) -> None:
        self.closing = True
        self.told.append("close")

    def abort(self) -> None:
        self.closing = True
        self.told.append("abort")


class Host:
    """Who gets the connection back."""

    def __init__(self) -> None:
        self.peer = "192.0.2.1"
        self.deadline = NEVER
        self.half_closed = False
        self.got: list[bytes] = []

    def overdue(self, now: float) -> None: ...

    def drain(self) -> None: ...

    def cut(self) -> None: ...

    def take_back(self, guest: Guest, ahead: bytes) -> None:
        self.got.append(ahead)


class Scene:
    """A guest with everything around it."""

    def __init__(self, directory: Path, **environment: str) -> None:
        clock = SimpleNamespace(monotonic=lambda: 1000.0)
        parts = SimpleNamespace(settings=settings_for(directory, **environment), clock=clock)
        pipeline: Any = SimpleNamespace(parts=parts)
        self.lane = Lane(pipeline)
        self.host = Host()
        self.wire: Any = Wire()
        self.guest = Guest(self.lane, self.host, self.wire)

    async def pieces(self) -> list[bytes]:
        """Read what there is."""
        found = []
        while True:
            reading = asyncio.ensure_future(self.guest.read())
            for _ in range(10):
                await asyncio.sleep(0)
            if not reading.done():
                reading.cancel()
                return found
            if not (piece := reading.result()):
                return found
            found.append(piece)


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_a_head_is_a_piece_of_its_own(scene: Scene) -> None:
    scene.guest.data_received(HEAD + b"body" + HEAD)
    assert await scene.pieces() == [HEAD, b"body" + HEAD]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 33])
async def test_however_it_is_cut(scene: Scene, size: int) -> None:
    sent = HEAD + b"body"
    found = []
    for at in range(0, len(sent), size):
        scene.guest.data_received(sent[at : at + size])
        found += await scene.pieces()
    assert b"".join(found) == sent
    assert any(b"".join(found[:count]) == HEAD for count in range(len(found)))


async def test_little_is_read_at_once_and_much_in_turns(scene: Scene) -> None:
    busy = [0]

    def other() -> None:
        busy[0] += 1
        if busy[0] < 30:
            scene.lane.turns.queue(other)

    scene.lane.turns.queue(other)
    scene.guest.data_received(HEAD + bytes(1000))
    assert await scene.guest.read() == HEAD
    assert await scene.guest.read() == bytes(1000)
    assert busy == [0], "it did not wait"
    scene.guest.data_received(bytes(200_000))
    sizes = []
    while sum(sizes) < 200_000:
        before = busy[0]
        sizes.append(len(await scene.guest.read()))
        assert busy[0] > before or sizes[-1] <= 16384, "the others had a turn between"
    assert max(sizes) == 65536


async def test_reading_stops_while_much_waits(scene: Scene) -> None:
    scene.guest.data_received(bytes(60_000))
    assert scene.wire.told == []
    scene.guest.data_received(bytes(60_000))
    assert scene.wire.told == ["pause"]
    await scene.guest.read()
    assert scene.wire.told == ["pause"]
    await scene.guest.read()
    assert scene.wire.told == ["pause", "resume"]


async def test_http_2_is_read_by_its_frames(scene: Scene) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\n"
    scene.guest.data_received(preface + b"SM\r\n\r\n" + SETTINGS + PING * 10 + PING[:5])
    assert await scene.guest.read() == preface
    scene.guest.multiplexed = True
    first, second = await scene.pieces()
    assert first == b"SM\r\n\r\n" + SETTINGS + PING * 7
    assert second == PING * 3
    scene.guest.data_received(PING[5:])
    assert await scene.pieces() == [PING]


async def test_http_2_by_upgrade_begins_with_the_whole_preface(scene: Scene) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    scene.guest.data_received(HEAD + preface + SETTINGS + PING * 10)
    assert await scene.guest.read() == HEAD
    scene.guest.multiplexed = True
    assert await scene.pieces() == [preface + SETTINGS + PING * 7, PING * 3]


async def test_the_end_is_told_once_everything_was_read(scene: Scene) -> None:
    scene.guest.data_received(HEAD)
    assert scene.guest.eof_received(), "the way out stays open"
    assert not scene.guest.at_eof()
    assert await scene.guest.read() == HEAD
    assert scene.guest.at_eof()
    assert await scene.guest.read() == b""


async def test_who_waits_for_bytes_hears_of_the_loss(scene: Scene) -> None:
    reading = asyncio.ensure_future(scene.guest.read())
    await asyncio.sleep(0)
    scene.guest.connection_lost(None)
    async with asyncio.timeout(1):
        assert await reading == b""
        await Outlet(scene.guest, scene.wire).wait_closed()
        with pytest.raises(ConnectionResetError):
            await Outlet(scene.guest, scene.wire).drain()


async def test_a_connection_goes_back_with_all_that_is_unread(scene: Scene) -> None:
    scene.guest.data_received(HEAD + HEAD + HEAD)
    assert await scene.guest.read() == HEAD
    reading = asyncio.ensure_future(scene.guest.read())
    await asyncio.sleep(0)
    assert await reading == HEAD + HEAD
    scene.guest.data_received(b"GET")
    assert scene.guest.go_back(HEAD + HEAD)
    assert scene.host.got == [HEAD + HEAD + b"GET"]
    assert await scene.guest.read() == b""


@pytest.mark.parametrize(
    ("express", "ahead", "host_half_closed", "goes"),
    [
        ("true", b"", False, True),
        ("false", b"", False, False),
        ("false", b"G", False, True),
        ("false", b"", True, True),
    ],
)
async def test_without_the_express_lane_only_some_go_back(
    tmp_path: Path, express: str, ahead: bytes, host_half_closed: bool, goes: bool
) -> None:
    scene = Scene(tmp_path, SERVER_EXPRESS_LANE=express)
    scene.host.half_closed = host_half_closed
    assert scene.guest.go_back(ahead) is goes
    assert scene.guest.returned is goes
    assert scene.host.got == ([ahead] if goes else [])


async def test_none_goes_back_while_the_process_stops_or_when_it_is_closing(scene: Scene) -> None:
    scene.guest.idle(False)
    scene.guest.drain()
    assert not scene.guest.go_back(b"")
    scene.guest._leaving = False
    scene.wire.closing = True
    assert not scene.guest.go_back(b"G")
    assert scene.host.got == []


async def test_a_head_must_arrive_in_time_and_a_frame_need_not(scene: Scene) -> None:
    scene.guest.data_received(b"G")
    assert scene.guest.deadline == 1000 + scene.lane.server.read_header_timeout
    scene.guest.idle(False)
    assert scene.guest.deadline == NEVER
    scene.guest.idle(True)
    scene.guest.multiplexed = True
    scene.guest.data_received(b"G")
    assert scene.guest.deadline == NEVER


async def test_a_reader_that_takes_nothing_is_cut_whatever_else_goes_on(scene: Scene) -> None:
    scene.guest.multiplexed = True
    scene.wire.unread = 70_000
    scene.guest.pause_writing()
    scene.guest.idle(True)  # another stream has ended
    assert scene.guest.deadline == 1000 + STALL_SECONDS
    scene.wire.unread = 60_000
    scene.guest.overdue(1120.0)
    assert (scene.guest.deadline, scene.wire.told) == (1120 + STALL_SECONDS, [])
    scene.guest.overdue(1240.0)
    assert scene.wire.told == ["abort"]


async def test_who_is_shown_the_door_has_two_seconds_and_no_more(scene: Scene) -> None:
    scene.wire.unread = 70_000
    scene.guest.end(b"calm down")
    assert (scene.wire.written, scene.guest.deadline) == (b"calm down", 1002.0)
    Outlet(scene.guest, scene.wire).close()
    scene.guest.resume_writing()
    assert scene.guest.deadline == 1002.0
    assert scene.guest.at_eof()
    scene.guest.overdue(1002.0)
    assert scene.wire.told == ["eof", "resume", "abort"]


async def test_who_is_in_the_middle_of_a_request_may_send_on_for_a_moment(scene: Scene) -> None:
    scene.guest.idle(False)
    Outlet(scene.guest, scene.wire).close()
    assert scene.guest.deadline == 1002.0
    for _ in range(16):
        scene.guest.data_received(bytes(1 << 18))
    assert "abort" not in scene.wire.told
    assert not scene.guest.eof_received(), "then there is nothing to wait for"
    scene.guest.data_received(b"x")
    assert scene.wire.told[-1] == "abort"


@pytest.mark.parametrize("idle", [True, False])
async def test_who_has_nothing_more_to_say_is_closed_at_once(scene: Scene, idle: bool) -> None:
    scene.guest.idle(idle)
    scene.guest.half_closed = not idle
    scene.wire.unread = 10_000
    scene.guest.end()
    assert scene.wire.told == ["close"]
    assert scene.guest.deadline == 1000 + STALL_SECONDS, "it may read on"
