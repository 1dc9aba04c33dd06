"""Encoded request bodies: decoded, bounded, or refused."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sub2api.errors import ClientError
from sub2api.gateway.bodies import PACE_BYTES, Budget, Pace, decoded, outline

PLAIN = b'{"model":"m"}' * 100
LIMIT = 1 << 20


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", PLAIN),
        ("identity", PLAIN),
        ("GZIP", gzip.compress(PLAIN, mtime=0)),
        ("deflate", zlib.compress(PLAIN)),
        ("zstd", zstandard.compress(PLAIN)),
    ],
)
def test_bodies_are_decoded(encoding: str, body: bytes) -> None:
    assert decoded(body, encoding, LIMIT) == PLAIN


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_garbage_is_refused(encoding: str) -> None:
    with pytest.raises(ClientError) as caught:
        decoded(b"garbage", encoding, LIMIT)
    assert caught.value.status == 400


def test_a_body_that_breaks_off_or_goes_on_is_refused() -> None:
    whole = gzip.compress(PLAIN)
    for body in (whole[:-4], whole + b"more"):
        with pytest.raises(ClientError) as caught:
            decoded(body, "gzip", LIMIT)
        assert caught.value.status == 400


def test_an_unknown_encoding_is_refused_by_name() -> None:
    with pytest.raises(ClientError, match="'br'") as caught:
        decoded(b"", "br", LIMIT)
    assert caught.value.status == 415


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstandard.compress])
def test_a_bomb_is_refused_without_being_unpacked(compress: object) -> None:
    bomb = compress(bytes(64 << 20))  # type: ignore[operator]
    name = {gzip.compress: "gzip", zlib.compress: "deflate"}.get(compress, "zstd")  # type: ignore[call-overload]
    with pytest.raises(ClientError) as caught:
        decoded(bomb, name, LIMIT)
    assert caught.value.status == 413
    assert "1 MiB" in str(caught.value)


def test_a_plain_body_over_a_small_limit_is_refused() -> None:
    with pytest.raises(ClientError, match="10 bytes"):
        decoded(PLAIN, "", 10)


def test_all_bodies_together_are_bounded() -> None:
    budget = Budget(100)
    budget.take(60)
    with pytest.raises(ClientError) as refused:
        budget.take(41)
    assert (refused.value.status, refused.value.retry_after) == (503, 5.0)
    budget.give(41)
    budget.take(40)
    assert budget.held == 100


def test_a_body_must_keep_its_pace() -> None:
    pace = Pace(100.0)
    assert pace.got(PACE_BYTES - 1, 120.0) == 130.0
    assert pace.got(1, 125.0) == 155.0
    assert pace.got(1, 150.0) == 155.0


texts = st.text(max_size=20) | st.builds(lambda text: text * 300, st.text(min_size=5, max_size=20))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


def emptied(value: object) -> object:
    """Do to a value what an outline does to its text."""
    match value:
        case str():
            return "" if len(json.dumps(value)) - 2 > 1024 else value
        case list():
            return [emptied(each) for each in value]
        case dict():
            return {str(emptied(key)): emptied(each) for key, each in value.items()}
        case _:
            return value


@given(st.dictionaries(texts, values, max_size=4))
def test_an_outline_is_the_body_without_its_long_strings(value: dict[str, object]) -> None:
    body = json.dumps(value).encode()
    assert json.loads(asyncio.run(outline(body))) == emptied(value)


@given(st.binary(max_size=200))
def test_an_outline_of_anything_short_is_itself(data: bytes) -> None:
    assert asyncio.run(outline(data)) == data


async def test_an_outline_of_nothing_long_is_no_copy() -> None:
    body = b"x" * 5000
    assert await outline(body) is body


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","x":"%b"}' % (b"x" * (40 << 20)),
        b'{"model":"m","x":"%b"}' % (b"\\\\" * (20 << 20)),
        b'{"model":"m","x":"%b' % (b"x" * (40 << 20)),
        b'{"model":"m","x":"%b"}' % (b'\\"' * (10 << 20)),
        b'{"model":"m","x":[%b""]}' % (b'"a",' * (5 << 20)),
    ],
    ids=["one string", "backslashes", "no end", "escaped quotes", "many strings"],
)
async def test_an_outline_holds_nobody_up(body: bytes) -> None:
    longest, before = 0.0, time.thread_time()

    async def beat() -> None:
        nonlocal longest, before
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, now - before), now

    beating = asyncio.create_task(beat())
    found = await outline(body)
    beating.cancel()
    assert b'{"model":"m","x":' in found
    assert longest < 0.3  # of this thread's own time: the machine may do other things


@pytest.mark.parametrize("size", [10, 3 << 20])
async def test_the_parts_of_a_body_are_put_together(size: int) -> None:
    budget = Budget(8 << 20)
    parts = [b"%010d" % number for number in range(size // 10)]
    expected = b"".join(parts)
    assert await budget.gathered(parts) == expected
    assert budget.held == 0


async def test_a_large_body_needs_room_for_its_copy() -> None:
    budget = Budget(4 << 20)
    budget.take(3 << 20)
    with pytest.raises(ClientError, match="too many large requests"):
        await budget.gathered([bytes(1 << 20)] * 3)
    assert budget.held == 3 << 20


async def test_an_outline_finds_strings_far_apart() -> None:
    far = b"[" + b" " * (40 << 20) + b'"%b"]' % (b"x" * 5000)
    assert (await outline(far)).endswith(b' ""]')


async def test_a_sandbox_that_forbids_priorities_forbids_no_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr("os.setpriority", forbidden)
    parts = [bytes(1 << 20)] * 2
    assert len(await Budget(8 << 20).gathered(parts)) == 2 << 20
