"""The tokenizer: every split of a stream gives the same events, and bytes never change."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub2api.protocols.sse import EventTooLarge, Frames, events, frame

LIMIT = 1 << 20
PIECES = st.sampled_from(
    [b"data: x", b"data:y", b"event: e", b": c", b"\n", b"\r\n", b"\r", b"\n\n", b"\xff\xfe", b"a"]
)
STREAMS = st.lists(PIECES, max_size=40).map(b"".join)
MODEL = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    parts, at = [], 0
    for size in sizes:
        parts.append(stream[at : at + size])
        at += size
    return [*parts, stream[at:]]


def raws(stream: bytes, parts: list[bytes]) -> tuple[list[bytes], bytes]:
    frames = Frames(LIMIT)
    found: list[bytes] = []
    for part in parts:
        found += [event.raw for event in events(frames.feed(part))]
    return found, frames.rest()


@given(STREAMS, st.lists(st.integers(0, 9), max_size=30))
def test_every_split_gives_the_same_bytes_and_only_complete_events(
    stream: bytes, sizes: list[int]
) -> None:
    found, rest = raws(stream, cut(stream, sizes))
    assert b"".join(found) + rest == stream
    for raw in found:
        assert MODEL.search(raw) is not None or not raw.strip(b"\r\n")
    undecided = rest.removesuffix(b"\r")
    assert MODEL.search(undecided) is None


@given(STREAMS.filter(lambda stream: b"\r" not in stream), st.lists(st.integers(0, 9), max_size=30))
def test_events_do_not_depend_on_the_split(stream: bytes, sizes: list[int]) -> None:
    def meaning(parts: list[bytes]) -> list[tuple[bytes, bytes]]:
        frames = Frames(LIMIT)
        found = [event for part in parts for event in events(frames.feed(part))]
        return [(event.name, event.data) for event in found if event.raw.strip()]

    assert meaning(cut(stream, sizes)) == meaning([stream])


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"])
def test_events_end_at_any_blank_line(end: bytes) -> None:
    frames = Frames(LIMIT)
    stream = b"data: 1" + end + b"data: 2" + end + b"x"
    got = b"".join(frames.feed(bytes([byte])) for byte in stream)
    assert [event.data for event in events(got)][:2] == [b"1", b"2"]
    assert got + frames.rest() == stream


def test_a_carriage_return_at_the_end_waits_for_its_line_feed() -> None:
    frames = Frames(LIMIT)
    assert frames.feed(b"data: 1\r\n\r") == b""
    assert frames.feed(b"\n") == b"data: 1\r\n\r\n"


def test_a_whole_block_comes_back_as_the_same_object() -> None:
    block = b"data: 1\n\n"
    assert Frames(LIMIT).feed(block) is block


def test_names_comments_several_data_lines_and_a_byte_order_mark_are_read() -> None:
    block = b"\xef\xbb\xbfevent: a\ndata: 1\ndata:2\n: note\nid: 7\n\ndata\n\n"
    first, second = events(block)
    assert (first.name, first.data) == (b"a", b"1\n2")
    assert (second.name, second.data) == (b"", b"")


def test_an_event_over_the_limit_is_refused() -> None:
    frames = Frames(10)
    frames.feed(b"data: 1234")
    with pytest.raises(EventTooLarge):
        frames.feed(b"5")


def test_a_huge_event_in_small_pieces_takes_linear_time() -> None:
    frames = Frames(32 << 20)
    piece = b"x" * 1024
    for _ in range(10_000):
        assert frames.feed(piece) == b""
    assert len(frames.feed(b"\n\n")) == 10_000 * 1024 + 2


def test_a_written_event_is_read_back() -> None:
    assert next(events(frame(b"{}", b"done")))[:2] == (b"done", b"{}")
    assert frame(b"{}") == b"data: {}\n\n"


def test_a_block_without_its_end_is_still_read() -> None:
    assert next(events(b"data: 1")).data == b"1"
