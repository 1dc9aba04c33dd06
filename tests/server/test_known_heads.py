"""Heads that are known already but for their length: read like new ones, and few of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sub2api.server import heads
from sub2api.server.heads import BadRequest, Head, read_head
from tests.server.wire import POST, head


def _fate(read: Callable[[bytes], Head], data: bytes) -> Head | tuple[str, int]:
    try:
        return read(data)
    except BadRequest as error:
        return str(error), error.status


@pytest.mark.parametrize("host", [b"Host: known.test", b"Host: a b"])
def test_a_head_that_is_known_is_read_like_a_new_one(host: bytes) -> None:
    length = b"\r\nContent-Length: 3"
    lines = [POST, host, b"X-A: a", b"Connection: close"]
    known = b"\r\n".join(lines) + length + b"\r\n\r\n"
    _fate(read_head, known)
    for added in (
        length, b"\r\nContent-Length: 99", length + b"\r\n", b"\r\nTransfer-Encoding: chunked",
        b"\r\ncontent-length:  3", length[2:], b"\r\nCONTENT-LENGTH: 3", b"\n" + length[2:],
    ):  # fmt: skip
        for data in (known, known.replace(length, b"")):
            for place in range(len(data)):
                found = data[:place] + added + data[place:]
                found = found[: found.find(b"\r\n\r\n") + 4] or found
                assert _fate(read_head, found) == _fate(heads._read, found), found


def test_large_heads_are_not_kept() -> None:
    before = len(heads._heads)
    for number in range(3):
        read_head(head(POST, b"X-%d: %b" % (number, b"x" * 5000), b"Content-Length: 3"))
    assert len(heads._heads) == before
    for number in range(heads._MOST_HEADS + 9):
        read_head(head(POST, b"X-%d: x" % number, b"Content-Length: 3"))
    assert len(heads._heads) == heads._MOST_HEADS
