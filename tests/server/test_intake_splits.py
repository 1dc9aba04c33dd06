"""However a conversation is cut into reads, and whatever it is made of, it is understood alike."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sub2api.gateway.routes import RouteError
from sub2api.server.heads import MOST_HEAD, MOST_LINE, BadRequest
from sub2api.server.intake import Intake, Refused, Request
from tests.server.conversations import Outcome, understood
from tests.server.wire import GET, HOST, LIMIT, POST, chunked, head, post

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def alike(data: bytes) -> Outcome:
    """Check every cut into two and the cut into single bytes; return what is understood."""
    whole = understood(data)
    for at in range(1, len(data)):
        assert understood(data, (at,)) == whole, at
    assert understood(data, tuple(range(1, len(data)))) == whole
    return whole


def kinds(outcome: Outcome) -> list[object]:
    return [each[0] if isinstance(each[0], str) else each[2] for each in outcome]


NEXT = head(GET)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (post(b"{}") + post(b"ab") + NEXT, [b"{}", b"ab", b"", "waits"]),
        (chunked(b"a", b"bc") + NEXT, [b"abc", b"", "waits"]),
        (chunked(b"a", end=b"0;x\r\nT: 1\r\n\r\n") + NEXT, [b"a", b"", "waits"]),
        (b"\r\n" + post(b"{}") + b"\r\n" + NEXT, [b"{}", b"", "waits"]),
        (b"\r\n\r\n" + post(b"{}"), ["bad"]),
        (post(b"{}") + b"\r\n\r\n" + NEXT, [b"{}", "bad"]),
        (b"\n" + post(b"{}"), ["bad"]),
        (post(b"{}")[:-1], ["waits"]),
        (post(b"{}", b"Expect: 100-continue"), [b"{}", "waits"]),
        (head(b"GET /v1/messages HTTP/1.1") + NEXT, ["refused", b"", "waits"]),
        (head(b"POST /v1/models/x:y HTTP/1.1") + NEXT, ["refused", b"", "waits"]),
        (post(b"", b"Content-Length: 0"), ["bad"]),
        (head(POST, b"Content-Length: %d" % (LIMIT + 1)), ["refused"]),
        (chunked(bytes(LIMIT), b"a"), ["refused"]),
        (head(POST, b"Transfer-Encoding: chunked") + b"x\r\n", ["bad"]),
        (head(POST, b"Transfer-Encoding: chunked", b"Content-Length: 2") + b"ab", ["bad"]),
        (head(GET, b"Content-Length: 2") + b"ab" + NEXT, [b"ab", b"", "waits"]),
        (head(b"GET /v1/models HTTP/1.0", host=None), [b"", "waits"]),
        (b"G\x00", ["waits"]),
        (b"\x16\x03\x01", ["bad"]),
        (b"", ["waits"]),
        (b"\r", ["waits"]),
    ],
)
def test_what_is_ours(data: bytes, expected: list[object]) -> None:
    found = kinds(understood(data))
    assert found == expected
    if len(data) < LIMIT:
        alike(data)


@pytest.mark.parametrize(
    "data",
    [
        head(b"GET /health HTTP/1.1"),
        head(b"GET /health HTTP/1.1", b"bad name: x") + b"anything\x00",
        head(b"GET /?path=/v1/models HTTP/1.1"),
        head(b"GET /v1/unknown HTTP/1.1"),
        head(b"GET /h%65alth HTTP/1.1"),
        head(b"M-SEARCH /health HTTP/1.1"),
        head(b"OPTIONS * HTTP/1.1"),
        head(b"CONNECT a.test:443 HTTP/1.1"),
        head(b"GET http://a.test/v1/models HTTP/1.1"),
        head(POST, b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 2") + b"ab",
        head(POST, b"Upgrade: h2c"),
        PREFACE + b"\x00\x00\x00\x04",
    ],
)
def test_what_is_elsewhere_goes_there_with_every_byte(data: bytes) -> None:
    assert alike(data) == [("elsewhere", data)]
    found = alike(post(b"{}") + data)
    assert found[0][2] == b"{}"
    if not data.startswith(b"PRI"):
        assert found[1:] == [("elsewhere", data)]
    else:
        assert found[1:] == [("bad",)]


def test_a_request_line_cannot_reach_into_the_next_line() -> None:
    data = b"GET /health\r\n\r\n HTTP/1.1\r\nHost: a\r\n\r\n"
    assert alike(data) == [("bad",)]
    assert alike(b"GET /health?\r\nA: b HTTP/1.1\r\nHost: a\r\n\r\n") == [("bad",)]


@pytest.mark.parametrize("path", [b"/v1/models", b"/health"])
def test_a_request_line_has_8192_bytes_at_most_wherever_it_goes(path: bytes) -> None:
    room = MOST_LINE - len(b"GET ? HTTP/1.1") - len(path)
    for extra in (0, 1):
        data = head(b"GET %b?%b HTTP/1.1" % (path, b"q" * (room + extra)))
        whole = understood(data)
        assert (whole == [("bad",)]) is bool(extra)
        for at in (1, 100, MOST_LINE - 1, MOST_LINE, MOST_LINE + 1, MOST_LINE + 2, len(data) - 1):
            assert understood(data, (at,)) == whole, at
    intake = Intake(LIMIT)
    intake.feed(b"G" * (MOST_LINE + 2))
    with pytest.raises(BadRequest) as caught:
        intake.next()
    assert caught.value.status == 431


def test_a_head_has_64_kib_at_most() -> None:
    most = MOST_HEAD - len(head(POST))
    line = b"A: " + b"x" * 1018  # 1023 with its CRLF
    fields = [line] * (most // 1023)
    fields.append(b"B:" + b"x" * (most - 1023 * len(fields) - 4))
    data = head(POST, *fields)
    assert len(data) == MOST_HEAD
    assert kinds(understood(data)) == [b"", "waits"]
    assert understood(data, (MOST_HEAD - 1,)) == understood(data)
    too_large = head(POST, *fields[:-1], fields[-1] + b"x")
    assert understood(too_large) == understood(too_large, (MOST_HEAD - 9,)) == [("bad",)]
    for endless in (too_large[:-2] + b"AAA", post(b"")[:-2] + line * 80):
        intake = Intake(LIMIT)
        intake.feed(endless)
        with pytest.raises(BadRequest) as caught:
            intake.next()
        assert caught.value.status == 431


def test_what_can_become_no_request_is_refused_before_it_is_complete() -> None:
    for data in (b"\x16\x03\x01", b" GET", b"\x00", POST + b"\nHost", POST + b"\r\nA: b\n\n"):
        intake = Intake(LIMIT)
        intake.feed(data)
        with pytest.raises(BadRequest):
            intake.next()


def test_a_request_comes_with_its_head_first_when_its_body_is_late() -> None:
    data = post(b"abcd")
    intake = Intake(LIMIT)
    intake.feed(data[:-2])
    first = intake.next()
    assert isinstance(first, Request)
    assert not first.complete
    assert not intake.idle
    assert intake.next() is None
    intake.feed(data[-2:] + NEXT[:4])
    second = intake.next()
    assert second is first
    assert second.complete
    assert second.body == b"abcd"
    assert intake.buffer == NEXT[:4]
    assert not intake.idle
    assert intake.take() == NEXT[:4]
    assert intake.idle


@pytest.mark.parametrize(
    ("data", "in_step", "left"),
    [
        (head(b"GET /v1/messages HTTP/1.1") + NEXT, True, NEXT),
        (head(b"PUT /v1/messages HTTP/1.1", b"Content-Length: 2") + b"ab" + NEXT, True, NEXT),
        (head(b"PUT /v1/messages HTTP/1.1", b"Content-Length: 3") + b"ab", False, b"ab"),
        (chunked(b"a", line=b"PUT /v1/messages HTTP/1.1"), False, b"1\r\na\r\n0\r\n\r\n"),
        (head(POST, b"Content-Length: %d" % (LIMIT + 1)) + b"ab", False, b"ab"),
    ],
)
def test_a_refusal_says_whether_the_next_request_can_be_found(
    data: bytes, in_step: bool, left: bytes
) -> None:
    intake = Intake(LIMIT)
    intake.feed(data)
    with pytest.raises(Refused) as caught:
        intake.next()
    assert caught.value.in_step is in_step
    assert intake.buffer == left
    assert caught.value.error.status in {405, 413}
    assert (caught.value.error.status == 405) == isinstance(caught.value.error, RouteError)


_PIECES = st.sampled_from(
    [
        *[b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b":", b"0", b"5", b"\xff", b"PRI", b";"],
        *[POST, GET, b"GET /health HTTP/1.1", HOST, PREFACE, b"POST /%76", b" HTTP/1.1", b"GET /"],
        *[b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"A: b"],
        *[b"Upgrade: x", b"Connection: close", b"0\r\n\r\n", b"3\r\nabc\r\n", b"abcde"],
        *[post(b"abc"), chunked(b"ab"), NEXT, head(b"GET /v1/messages HTTP/1.1"), head(POST)[:-2]],
    ]
)
_DATA = st.lists(_PIECES | st.binary(max_size=4), max_size=12).map(b"".join)


@given(_DATA, st.lists(st.integers(0, 400), max_size=8))
@example(b"PRI" + b"\r\n\r\n", [3])
@example(b"\r\n" + PREFACE, [1, 2, 5])
def test_random_conversations_are_understood_alike_however_they_are_cut(
    data: bytes, cuts: list[int]
) -> None:
    whole = understood(data)
    within = tuple(sorted(cut for cut in cuts if cut < len(data)))
    early = [("bad",)]
    for pieces in (within, tuple(range(1, len(data)))):
        found = understood(data, pieces)
        if whole[-1] == ("waits",) and found[-1] == early[0]:
            # What comes in pieces may be seen to be hopeless earlier, never later.
            assert found[:-1] == whole[:-1]
        else:
            assert found == whole


@pytest.mark.parametrize(
    "data",
    [
        head(b"POST /v1/messages?%b HTTP/1.1" % (b"q" * 8000)),
        head(b"GET /v1/models?%b HTTP/1.1" % (b"q" * 8000), *[b"A: b"] * 90),
        head(POST, *[b"A: " + b"b" * 1000] * 20),
    ],
)
def test_bytes_that_come_one_by_one_cost_little(data: bytes) -> None:
    began = time.process_time()
    assert kinds(understood(data, tuple(range(1, len(data))))) == [b"", "waits"]
    assert (time.process_time() - began) / len(data) < 60e-6  # seconds; it took 150e-6 once
