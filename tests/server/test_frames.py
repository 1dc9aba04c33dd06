"""HTTP/2 in pieces that are one turn's work each, and floods of frames that ask for nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sub2api.server.frames import FLOOD_SECONDS, MOST_BYTES, MOST_CONTROL, Flood, Frames

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 2, 3, 4, 6, 8, 9,
)  # fmt: skip


def frame(kind: int, length: int, flags: int = 0) -> bytes:
    return length.to_bytes(3, "big") + bytes([kind, flags]) + b"\x00\x00\x00\x01" + b"x" * length


def ends(frames: Frames, data: bytes) -> list[int]:
    """Return where the pieces begin and end that there are in `data`."""
    found = [0]
    while (end := frames.piece(data, found[-1], 0.0)) > found[-1]:
        found.append(end)
    return found


def test_a_piece_is_eight_frames() -> None:
    data = frame(PING, 8) * 20
    assert ends(Frames(0), data) == [0, 8 * 17, 16 * 17, 20 * 17]


def test_a_piece_opens_one_stream_at_most() -> None:
    call = frame(HEADERS, 50) + frame(DATA, 100)
    assert ends(Frames(0), call * 3) == [0, len(call), 2 * len(call), 3 * len(call)]


def test_a_piece_is_64_kib_at_most() -> None:
    data = frame(DATA, 16384) * 10 + frame(DATA, 200_000)
    found = ends(Frames(0), data)
    assert found[-1] == len(data)
    assert all(later - earlier <= MOST_BYTES for earlier, later in pairwise(found))


def test_what_is_left_of_the_preface_goes_with_the_first_piece() -> None:
    preface = b"SM\r\n\r\n"
    data = preface + frame(SETTINGS, 6) + frame(HEADERS, 9) * 2
    assert ends(Frames(len(preface)), data) == [0, 6 + 15 + 18, len(data)]


@pytest.mark.parametrize("size", [1, 2, 8, 9, 10, 17, 100])
def test_pieces_are_all_that_came_however_it_is_cut(size: int) -> None:
    data = b"".join(frame(kind, length) for kind in (HEADERS, DATA, PING) for length in (0, 1, 30))
    frames, held, read = Frames(0), b"", b""
    for at in range(0, len(data), size):
        held += data[at : at + size]
        for start, end in pairwise(ends(frames, held)):
            read += held[start:end]
        held = data[len(read) : at + size]
        assert len(held) < 9, "only what is no whole header may wait"
    assert read == data


@pytest.mark.parametrize(
    "kind", [RESET, PING, SETTINGS, PRIORITY, CONTINUATION, DATA, 0xBE], ids=str
)
def test_frames_that_ask_for_nothing_are_a_flood(kind: int) -> None:
    frames, one = Frames(0), frame(kind, 0)
    for _ in range(MOST_CONTROL // 8):
        frames.piece(one * 8, 0, 1.0)
    with pytest.raises(Flood):
        frames.piece(one, 0, FLOOD_SECONDS)
    frames = Frames(0)
    for second in range(100):
        for _ in range(10):
            frames.piece(one * 8, 0, float(second))


def test_calls_their_bodies_and_room_for_replies_are_none() -> None:
    frames = Frames(0)
    for kind, length, flags in [(HEADERS, 9, 0), (DATA, 9, 0), (DATA, 0, 1), (WINDOW_UPDATE, 4, 0)]:
        for _ in range(2 * MOST_CONTROL):
            frames.piece(frame(kind, length, flags), 0, 0.0)
