"""From bytes to requests: heads, bodies, and every way to get them wrong."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub2api.errors import ClientError
from sub2api.gateway.routes import RouteError
from sub2api.model.routes import Operation, Wire
from sub2api.server.heads import CHUNKED, BadRequest, read_head
from sub2api.server.incoming import ChunkedBody, SizedBody
from sub2api.server.intake import ELSEWHERE, Intake, Refused, Request

HOST = b"Host: gateway.test\r\n"
POST = b"POST /v1/messages HTTP/1.1\r\n" + HOST


def head(*lines: bytes, first: bytes = b"POST /v1/messages HTTP/1.1") -> bytes:
    return b"\r\n".join([first, b"Host: gateway.test", *lines, b"", b""])


def requests_of(data: bytes, *cuts: int) -> list[tuple[str, bytes] | str]:
    """Feed the data in pieces; return what came out, an error's name last."""
    intake = Intake(1000)
    found: list[tuple[str, bytes] | str] = []
    edges = [0, *sorted(cuts), len(data)]
    try:
        for start, end in itertools.pairwise(edges):
            if start == end:
                continue
            intake.feed(data[start:end])
            while (each := intake.next()) is not None:
                if each is ELSEWHERE:
                    return [*found, "elsewhere"]
                assert isinstance(each, Request)
                if each.complete:
                    found.append((each.head.path, each.body))
    except (BadRequest, Refused) as error:
        found.append(f"{type(error).__name__}: {error}")
    return found


def test_a_head_is_read_to_the_letter() -> None:
    found = read_head(
        head(
            b"X-Api-Key: \t sk-1 ",
            b"CONTENT-LENGTH: 12",
            b"X-Twice: a",
            b"X-Twice: b",
            first=b"POST /v1beta/models/gemini%2Dpro:generateContent?alt=sse&x=%20 HTTP/1.1",
        )
    )
    assert (found.method, found.path) == ("POST", "/v1beta/models/gemini-pro:generateContent")
    assert (found.query, found.length, found.version) == (b"alt=sse&x=%20", 12, "1.1")
    assert found.keep_alive
    assert not found.expects_continue
    assert not found.upgrades
    assert found.headers == (
        (b"host", b"gateway.test"), (b"x-api-key", b"sk-1"),
        (b"x-twice", b"a"), (b"x-twice", b"b"),
    )  # fmt: skip
    assert found.fields[b"x-twice"] == b"a"


@pytest.mark.parametrize(
    ("lines", "first", "status"),
    [
        ([b"Content-Length: 1", b"Content-Length: 1"], b"POST / HTTP/1.1", 400),
        ([b"Content-Length: 1, 1"], b"POST / HTTP/1.1", 400),
        ([b"Content-Length: +1"], b"POST / HTTP/1.1", 400),
        ([b"Content-Length: 1_0"], b"POST / HTTP/1.1", 400),
        ([b"Content-Length: -1"], b"POST / HTTP/1.1", 400),
        ([b"Content-Length: 99999999999999999999999"], b"POST / HTTP/1.1", 400),
        ([b"Content-Length: 1", b"Transfer-Encoding: chunked"], b"POST / HTTP/1.1", 400),
        ([b"Transfer-Encoding: chunked"], b"POST / HTTP/1.0", 400),
        ([b"Transfer-Encoding: gzip, chunked"], b"POST / HTTP/1.1", 501),
        ([b"Transfer-Encoding: xchunked"], b"POST / HTTP/1.1", None),
        ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], b"POST / HTTP/1.1", 400),
        ([b"Transfer-Encoding : chunked"], b"POST / HTTP/1.1", 400),
        ([b"Host: other.test"], b"POST / HTTP/1.1", 400),
        ([b"X: a\r\n b"], b"POST / HTTP/1.1", 400),
        ([b"X: a\r\n\tb"], b"POST / HTTP/1.1", 400),
        ([b"X: a\nY: b"], b"POST / HTTP/1.1", 400),
        ([b"X: a\rY: b"], b"POST / HTTP/1.1", 400),
        ([b"X: a\x00b"], b"POST / HTTP/1.1", 400),
        ([b"X: a\x7fb"], b"POST / HTTP/1.1", 400),
        ([b"X Y: a"], b"POST / HTTP/1.1", 400),
        ([b": a"], b"POST / HTTP/1.1", 400),
        ([b"no colon"], b"POST / HTTP/1.1", 400),
        ([b"Expect: miracles"], b"POST / HTTP/1.1", 417),
        ([b"X: " + b"a" * 8200], b"POST / HTTP/1.1", 431),
        ([b"X%d: a" % n for n in range(100)], b"POST / HTTP/1.1", 431),
        ([], b"POST / HTTP/1.2", None),
        ([], b"POST / HTTP/2.0", None),
        ([], b"POST  / HTTP/1.1", 400),
        ([], b"POST /", 400),
        ([], b"P@ST / HTTP/1.1", 400),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(
    lines: list[bytes], first: bytes, status: int | None
) -> None:
    with pytest.raises(BadRequest) as refused:
        read_head(head(*lines, first=first))
    assert status is None or refused.value.status == status


@pytest.mark.parametrize("host", [b"", b"a b", b"a/b", b"user@host", b"[::1", b"a:b", b"a\xffb"])
def test_a_malformed_host_is_refused(host: bytes) -> None:
    with pytest.raises(BadRequest):
        read_head(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")


@pytest.mark.parametrize("host", [b"a", b"a.b:1", b"[::1]:8080", b"127.0.0.1", b"xn--a_b:"])
def test_an_ordinary_host_is_not(host: bytes) -> None:
    assert read_head(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").fields[b"host"] == host


def test_http_1_0_may_do_without_a_host_and_does_not_stay() -> None:
    found = read_head(b"GET /v1/models HTTP/1.0\r\n\r\n")
    assert (found.version, found.keep_alive) == ("1.0", False)
    stays = read_head(b"GET /v1/models HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert stays.keep_alive
    with pytest.raises(BadRequest):
        read_head(b"GET /v1/models HTTP/1.1\r\n\r\n")


def test_framing_expectation_and_upgrade_are_found() -> None:
    assert read_head(head(b"Transfer-Encoding: Chunked")).length == CHUNKED
    assert read_head(head(b"Expect: 100-Continue", b"Content-Length: 5")).expects_continue
    assert read_head(head(b"Upgrade: h2c")).upgrades
    assert read_head(head(b"Connection: Upgrade", b"Upgrade: websocket")).upgrades
    assert not read_head(head(b"Connection: close")).keep_alive


CONVERSATION = (
    POST + b"Content-Length: 3\r\n\r\nabc"
    + POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\nT: 1\r\n\r\n"
    + b"\r\nGET /v1/models HTTP/1.1\r\n" + HOST + b"\r\n"
    + b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
)  # fmt: skip
UNDERSTOOD = [("/v1/messages", b"abc"), ("/v1/messages", b"def"), ("/v1/models", b""), "elsewhere"]


def test_a_conversation_is_understood_at_every_split() -> None:
    for cut in range(len(CONVERSATION)):
        assert requests_of(CONVERSATION, cut) == UNDERSTOOD, cut


def test_a_conversation_is_understood_byte_by_byte() -> None:
    assert requests_of(CONVERSATION, *range(len(CONVERSATION))) == UNDERSTOOD


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=20))
def test_a_conversation_is_understood_however_it_is_cut(cuts: list[int]) -> None:
    assert requests_of(CONVERSATION, *cuts) == UNDERSTOOD


@given(st.binary(max_size=300), st.booleans())
def test_junk_is_refused_or_waited_for_never_more(junk: bytes, behind_a_line: bool) -> None:
    requests_of(POST + junk if behind_a_line else junk)


def test_what_is_elsewhere_keeps_its_bytes() -> None:
    for data in (
        b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nrest",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes",
        POST + b"Upgrade: h2c\r\nContent-Length: 2\r\n\r\nab",
        b"OPTIONS * HTTP/1.1\r\n",
    ):
        intake = Intake(100)
        intake.feed(data)
        assert intake.next() is ELSEWHERE
        assert intake.take() == data


def test_a_preface_in_pieces_is_waited_for() -> None:
    intake = Intake(100)
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[:-1]:
        intake.feed(bytes([byte]))
        assert intake.next() is None
    intake.feed(b"\n")
    assert intake.next() is ELSEWHERE


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET /v1/models HTTP/1.1\nHost: a\n\n", 400),
        (b"A" * 8200, 431),
        (POST + b"X: " + b"a" * 66_000, 431),
        (POST + b"X: a\r\n" * 12_000 + b"\r\n", 431),
    ],
)
def test_hopeless_heads_are_refused_at_once(data: bytes, status: int) -> None:
    intake = Intake(100)
    intake.feed(data)
    with pytest.raises(BadRequest) as refused:
        intake.next()
    assert refused.value.status == status


def test_a_refused_request_tells_whether_the_next_one_can_be_found() -> None:
    intake = Intake(100)
    intake.feed(b"GET /v1/messages HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nabGET")
    with pytest.raises(Refused) as refused:
        intake.next()
    assert isinstance(refused.value.error, RouteError)
    assert refused.value.in_step
    assert intake.buffer == b"GET"
    intake = Intake(100)
    intake.feed(POST + b"Content-Length: 101\r\n\r\n")
    with pytest.raises(Refused) as refused:
        intake.next()
    assert (refused.value.error.status, refused.value.in_step) == (413, False)
    assert refused.value.wire is Wire.MESSAGES


def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large() -> None:
    intake = Intake(10)
    intake.feed(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    request = intake.next()
    assert isinstance(request, Request)
    assert request.match.operation is Operation.GENERATE
    intake.feed(b"b\r\n")
    with pytest.raises(Refused) as refused:
        intake.next()
    assert refused.value.error.status == 413


@pytest.mark.parametrize(
    "chunks",
    [b"x\r\n", b"-1\r\n", b"0x2\r\nab", b"2\r\nabc\r\n", b"2\r\nab\r\r\n", b"1\r\na\r\n\r\n",
     b"\r\n", b" 1\r\n", b"123456789\r\n", b"1;" + b"x" * 2000, b"1\n", b"0\r\nno colon\r\n\r\n",
     b"0\r\nX: " + b"a" * 9000],
)  # fmt: skip
def test_malformed_chunks_are_refused(chunks: bytes) -> None:
    body = ChunkedBody(1000)
    with pytest.raises(BadRequest):
        body.feed(chunks + b"\r\n" * 3)


def test_bodies_end_where_they_end() -> None:
    chunked = ChunkedBody(100)
    assert chunked.feed(b"3\r\nab") is None
    assert chunked.feed(b"c\r\n0\r\n") is None
    assert chunked.feed(b"\r\nnext") == b"next"
    assert b"".join(chunked.take()) == b"abc"
    sized = SizedBody(4)
    assert sized.feed(b"ab") is None
    assert sized.feed(b"cdnext") == b"next"
    assert b"".join(sized.take()) == b"abcd"
    with pytest.raises(ClientError):
        ChunkedBody(2).feed(b"3\r\nabc\r\n")


def test_a_head_that_differs_in_its_length_only_is_read_once() -> None:
    first, second = (read_head(head(b"X: y", b"Content-Length: %d" % n)) for n in (5, 60))
    assert (first.length, second.length) == (5, 60)
    assert first.memo is second.memo
    assert first.headers == ((b"host", b"gateway.test"), (b"x", b"y"))
    assert read_head(head(b"X: z", b"Content-Length: 5")).memo is not first.memo


@pytest.mark.parametrize("second", [b"Transfer-Encoding: chunked", b"Content-Length: 5"])
def test_remembering_heads_opens_no_way_for_a_second_framing(second: bytes) -> None:
    length = b"Content-Length: 5"
    assert read_head(head(length)).length == 5
    assert read_head(head(b"Transfer-Encoding: chunked")).length == CHUNKED
    for lines in ((length, second), (second, length)):
        with pytest.raises(BadRequest):
            read_head(head(*lines))
