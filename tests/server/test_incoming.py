"""A request's body: of a length told before, or in chunks."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub2api.errors import ClientError
from sub2api.server.heads import BadRequest
from sub2api.server.incoming import ChunkedBody, SizedBody

LIMIT = 1000
LONGEST_LINE = 1024
TRAILERS = 8192


def read(data: bytes, *cuts: int) -> tuple[bytes, bytes] | None:
    """Feed a chunked body cut into pieces; return body and rest, None while it is not complete."""
    body = ChunkedBody(LIMIT)
    edges = [0, *sorted(cuts), len(data)]
    for number, end in enumerate(edges[1:]):
        rest = body.feed(data[edges[number] : end])
        if rest is not None:
            return b"".join(body.take()), rest + data[end:]
    return None


def everywhere(data: bytes) -> list[tuple[bytes, bytes] | None]:
    """Return what comes out at once, cut at every byte, and byte by byte."""
    cuts = [read(data), *(read(data, at) for at in range(1, len(data)))]
    return [*cuts, read(data, *range(1, len(data)))]


def refusals(data: bytes) -> set[str]:
    """Return how a body is refused: at once, cut at every byte, and byte by byte."""
    found = set()
    for cuts in [(), *((at,) for at in range(1, len(data))), tuple(range(1, len(data)))]:
        with pytest.raises((BadRequest, ClientError)) as caught:
            read(data, *cuts)
        found.add(f"{type(caught.value).__name__} {caught.value.status}")
    return found


def test_a_sized_body_ends_where_it_was_said_to() -> None:
    data = b"0123456789"
    for first in range(11):
        body = SizedBody(6)
        rest = body.feed(data[:first])
        if first < 6:
            assert rest is None
            rest = body.feed(data[first:])
            assert rest == data[6:]
        assert b"".join(body.take()) == b"012345"
        assert rest == data[6 : max(first, 6)] or first < 6
    single = SizedBody(2)
    assert [single.feed(b"a"), single.feed(b"b")] == [None, b""]
    assert b"".join(single.take()) == b"ab"


def test_a_body_in_one_piece_is_not_copied() -> None:
    data = bytes(100)
    body = SizedBody(100)
    assert body.feed(data) == b""
    assert b"".join(body.take()) is data


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"0\r\n\r\n", b""),
        (b"000\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"00000003\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
        (b"3;name=value\r\nabc\r\n0;last\r\n\r\n", b"abc"),
        (b'3 ; a="b\xe9;"\t\r\nabc\r\n0\r\n\r\n', b"abc"),
        (b"3;\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nEmpty:\r\n\r\n", b"abc"),
    ],
)
def test_a_chunked_body_is_read_however_it_is_cut(data: bytes, whole: bytes) -> None:
    assert set(everywhere(data + b"GET")) == {(whole, b"GET")}
    assert set(everywhere(data)) == {(whole, b"")}
    for end in range(len(data)):
        assert read(data[:end]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"3_0\r\nabc\r\n0\r\n\r\n",
        b"g\r\nabc\r\n0\r\n\r\n",
        b"3.0\r\nabc\r\n0\r\n\r\n",
        b"000000003\r\nabc\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFF3\r\nabc\r\n0\r\n\r\n",
        b"\xb3\r\nabc\r\n0\r\n\r\n",
        b"3 name\r\nabc\r\n0\r\n\r\n",
        b";name\r\nabc\r\n0\r\n\r\n",
        b"3;a\x00b\r\nabc\r\n0\r\n\r\n",
        b"3;a\nb\r\nabc\r\n0\r\n\r\n",
        b"3;a\rb\r\nabc\r\n0\r\n\r\n",
        b"3;a\x7f\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\rabc\r\n0\r\n\r\n",
        b"3\r\r\nabc\r\n0\r\n\r\n",
        b"2\r\nabc\r\n0\r\n\r\n",
        b"4\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc\r0\r\n\r\n",
        b"3\r\nabcXX0\r\n\r\n",
        b"3\r\nabc\n\r0\r\n\r\n",
        b"3\r\nabc\r\n\r\n0\r\n\r\n",
        b"0\r\nX : 1\r\n\r\n",
        b"0\r\nX 1\r\n\r\n",
        b"0\r\n: 1\r\n\r\n",
        b"0\r\nX: 1\r\n folded\r\n\r\n",
        b"0\r\nX: a\nb\r\n\r\n",
        b"0\r\nX: a\rb\r\n\r\n",
        b"0\r\nX: a\x00\r\n\r\n",
        b"0\r\n\n\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_bad_chunk_is_refused_however_it_is_cut(data: bytes) -> None:
    assert refusals(data) == {"BadRequest 400"}


def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large() -> None:
    assert read(b"3e8\r\n" + bytes(LIMIT) + b"\r\n0\r\n\r\n") == (bytes(LIMIT), b"")
    assert refusals(b"3e9\r\n") == {"ClientError 413"}
    assert refusals(b"ffffffff\r\n") == {"ClientError 413"}
    assert refusals(b"1f4\r\n" + bytes(500) + b"\r\n1f5\r\n") == {"ClientError 413"}


def test_a_size_line_has_1024_bytes_at_most() -> None:
    line = b"0;" + b"x" * (LONGEST_LINE - 2)
    assert set(everywhere(line + b"\r\n\r\n")) == {(b"", b"")}
    assert refusals(line + b"x\r\n\r\n") == {"BadRequest 400"}
    with pytest.raises(BadRequest):
        read(line + b"xx")


def test_trailers_have_8192_bytes_at_most() -> None:
    line = b"X:" + b"x" * (TRAILERS - 2)
    for cut in (1, 100, len(line), len(line) + 3, len(line) + 4, len(line) + 5):
        assert read(b"0\r\n" + line + b"\r\n\r\n", cut) == (b"", b"")
        with pytest.raises(BadRequest):
            read(b"0\r\n" + line + b"x\r\n\r\n", cut)
    several = (b"X:" + b"x" * 98 + b"\r\n") * 81
    assert read(b"0\r\n" + several + b"\r\n") == (b"", b"")
    with pytest.raises(BadRequest):
        read(b"0\r\n" + several + several[:102] + b"\r\n")
    with pytest.raises(BadRequest):
        read(b"0\r\n" + line + b"xx")


def test_tiny_chunks_do_not_take_many_times_their_size() -> None:
    body = ChunkedBody(1 << 20)
    for _ in range(100):
        assert body.feed(b"2\r\nab\r\n" * 1000) is None
    held = sum(sys.getsizeof(each) for each in vars(body).values())
    assert held < 300_000
    assert body.feed(b"0\r\n\r\n") == b""
    assert b"".join(body.take()) == b"ab" * 100_000


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=10),
    st.sampled_from([b"", b";x", b' ; y="z"']),
    st.lists(st.integers(0, 600), max_size=12),
    st.binary(max_size=20),
)
def test_chunks_are_joined_again(
    chunks: list[bytes], extension: bytes, cuts: list[int], rest: bytes
) -> None:
    parts = [b"%x%b\r\n%b\r\n" % (len(each), extension, each) for each in chunks]
    data = b"".join(parts) + b"0\r\n\r\n" + rest
    within = [min(cut, len(data)) for cut in cuts]
    assert read(data, *within) == (b"".join(chunks), rest)


@given(st.binary(max_size=80), st.integers(0, 80))
def test_random_bytes_are_read_or_refused_alike_however_they_are_cut(data: bytes, at: int) -> None:
    for each in (data, b"2\r\nab\r\n" + data, b"0\r\n" + data, b"3;" + data):
        outcomes = []
        for cuts in ((), (min(at, len(each)),), tuple(range(1, len(each)))):
            try:
                outcomes.append(read(each, *cuts))
            except (BadRequest, ClientError):
                outcomes.append((b"refused", b""))
        if None in outcomes:  # a refusal may come earlier when less is there to be read
            outcomes = [each for each in outcomes if each is not None]
        assert len(set(outcomes)) <= 1


def test_much_of_a_chunk_is_kept_as_it_came_and_little_is_gathered() -> None:
    body = ChunkedBody(1 << 20)
    for size in (10, 20, 20_000, 5, 30_000):
        assert body.feed(b"%x\r\n%b\r\n" % (size, b"x" * size)) is None
    assert body.feed(b"0\r\n\r\n") == b""
    assert [len(part) for part in body.take()] == [30, 20_000, 5, 30_000]
