"""A request's head: what is read, and everything that is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub2api.server import heads
from sub2api.server.heads import (
    CHUNKED,
    MOST_HEADERS,
    MOST_LINE,
    BadRequest,
    Head,
    read_head,
)
from tests.server.wire import GET, POST, head


def refusal(data: bytes) -> int:
    """Return the status with which a head is refused."""
    with pytest.raises(BadRequest) as caught:
        read_head(data)
    assert str(caught.value).endswith(".")
    return caught.value.status


def with_fields(*fields: bytes) -> Head:
    return read_head(head(POST, *fields))


def test_a_head_is_read() -> None:
    line = b"POST /v1/messages?beta=true&a=%20b HTTP/1.1"
    found = read_head(head(line, b"X-One:  a b\t ", b"x-one: c", b"Content-Length: 12"))
    assert found == Head(
        method="POST",
        path="/v1/messages",
        query=b"beta=true&a=%20b",
        headers=(
            (b"host", b"gw.test"),
            (b"x-one", b"a b"),
            (b"x-one", b"c"),
        ),
        fields={b"host": b"gw.test", b"x-one": b"a b"},
        version="1.1",
        keep_alive=True,
        length=12,
        expects_continue=False,
        upgrades=False,
        memo={},
    )


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", b""),
        (b"/v1%2Fmodels", "/v1/models", b""),
        (b"/v1/models/caf%C3%A9", "/v1/models/café", b""),
        (b"/v1/models/100%", "/v1/models/100%", b""),
        (b"/v1/models?", "/v1/models", b""),
        (b"/v1/models?a?b=%41", "/v1/models", b"a?b=%41"),
        (b"/v1/models#part", "/v1/models#part", b""),
        (b"*", "*", b""),
        (b"http://other.test/v1/models", "http://other.test/v1/models", b""),
    ],
)
def test_a_target_is_its_path_decoded_and_its_query_raw(
    target: bytes, path: str, query: bytes
) -> None:
    found = read_head(head(b"GET %b HTTP/1.1" % target))
    assert (found.path, found.query) == (path, query)


@pytest.mark.parametrize("code", [b"%00", b"%0d%0aX:", b"%0A", b"%1f", b"%7F"])
def test_a_path_hides_no_control_characters(code: bytes) -> None:
    assert refusal(head(b"GET /v1/models/a%bb HTTP/1.1" % code)) == 400
    query = b"a=" + code
    assert read_head(head(b"GET /v1/models?%b HTTP/1.1" % query)).query == query


@pytest.mark.parametrize(
    "field",
    [b"A:", b"A: \t ", b"A:b", b"A: b\tc", b"A: \xff\x80", b"!#$%&'*+-.^_`|~9: x", b"A: b:c: d"],
)
def test_odd_but_proper_headers_are_read(field: bytes) -> None:
    name, _, value = field.partition(b":")
    assert with_fields(field).headers[1] == (name.lower(), value.strip(b" \t"))


@pytest.mark.parametrize(
    "line",
    [
        b"POST  /v1/messages HTTP/1.1",
        b"POST /v1/messages  HTTP/1.1",
        b" POST /v1/messages HTTP/1.1",
        b"POST /v1/messages HTTP/1.1 ",
        b"POST\t/v1/messages HTTP/1.1",
        b"POST /v1/messages\tHTTP/1.1",
        b"POST /v1/mess\tages HTTP/1.1",
        b"POST /v1/mess ages HTTP/1.1",
        b"POST /v1/mess\xe9ges HTTP/1.1",
        b"POST /v1/messages?\xc3\xa9 HTTP/1.1",
        b"POST v1/messages HTTP/1.1",
        b"post /v1/messages HTTP/1.1",
        b"BREW /v1/messages HTTP/1.1",
        b"P(ST /v1/messages HTTP/1.1",
        b"PRI * HTTP/1.1",
        b"POST /v1/messages",
        b"POST /v1/messages HTTP",
        b"POST /v1/messages HTTP/1",
        b"POST /v1/messages HTTP/1.10",
        b"POST /v1/messages HTTP/1.2",
        b"POST /v1/messages http/1.1",
        b"POST /v1/messages HTTP/+1.1",
        b"POST /v1/messages RTSP/1.0",
        b"SOURCE /v1/messages ICE/1.0",
        b"POST HTTP/1.1",
        b"",
        b"\r\nPOST /v1/messages HTTP/1.1",
        b"\r\nPOST /v1beta/models/m:generateContent HTTP/1.1",
        b"HTTP/1.1 200 OK",
    ],
)
def test_a_malformed_request_line_is_refused(line: bytes) -> None:
    assert refusal(head(line)) == 400


@pytest.mark.parametrize("version", [b"0.9", b"2.0"])
def test_other_versions_are_refused(version: bytes) -> None:
    assert refusal(head(b"GET /v1/models HTTP/" + version)) == 505


@pytest.mark.parametrize(
    "field",
    [
        b"No-Colon",
        b": empty",
        b"Space : x",
        b"Tab\t: x",
        b"In side: x",
        b"Br(acket: x",
        b'Quo"te: x',
        b"Sla/sh: x",
        b"At@: x",
        b"\xe9: x",
        b"Content-Length : 0",
        b"Transfer-Encoding : chunked",
    ],
)
def test_a_bad_header_name_is_refused(field: bytes) -> None:
    assert refusal(head(POST, field)) == 400
    assert refusal(head(POST, field, host=None)) == 400


@pytest.mark.parametrize(
    "code", [*range(9), 11, 12, *range(14, 32), 127], ids=lambda code: f"{code:02x}"
)
def test_a_control_character_is_refused_wherever_it_stands(code: int) -> None:
    bad = bytes([code])
    assert refusal(head(POST, b"A: x%by" % bad)) == 400
    assert refusal(head(POST, b"A%b: x" % bad)) == 400
    assert refusal(head(b"POST /v1/%b HTTP/1.1" % bad)) == 400


@pytest.mark.parametrize(
    "data",
    [
        head(POST).replace(b"\r\n", b"\n", 1),
        head(POST, b"A: b\nC: d"),
        head(POST, b"A: b\rC: d"),
        head(POST, b"A: b\r\r\nC: d"),
        head(POST, b"A: b\n\r\nC: d"),
        head(POST, b"A\n: b"),
        head(POST, b"A: b\r"),
        head(POST, b"A: b\n"),
        head(POST)[:-2] + b"\n\r\n\r\n",
        head(POST)[:-2] + b"\r\r\n",
        head(POST)[:-2] + b"\n",
        head(POST).replace(b"\r\n", b"\r"),
        head(POST).replace(b"\r\n", b"\n"),
        head(POST).replace(b"\r\n", b"\n\r"),
    ],
)
def test_a_line_ends_with_crlf_and_nothing_else(data: bytes) -> None:
    assert refusal(data) == 400


@pytest.mark.parametrize(
    "fields",
    [(b"A: b", b" c"), (b"A: b", b"\tc"), (b"A:", b" b"), (b" A: b",), (b"A: b", b" "),
     (b"Transfer-Encoding:", b" chunked"), (b"Content-Length: 1", b" 0")],
)  # fmt: skip
def test_folded_lines_are_refused(fields: tuple[bytes, ...]) -> None:
    assert refusal(head(POST, *fields)) == 400
    assert refusal(head(POST, *fields, host=None)) == 400


def test_a_line_has_8192_bytes_at_most() -> None:
    value = b"v" * (MOST_LINE - len(b"A: "))
    assert with_fields(b"A: " + value).fields[b"a"] == value
    assert refusal(head(POST, b"A: " + value + b"v")) == 431
    query = b"q" * (MOST_LINE - len(b"GET /? HTTP/1.1"))
    assert read_head(head(b"GET /?%b HTTP/1.1" % query)).query == query
    assert refusal(head(b"GET /?%b HTTP/1.1" % (query + b"q"))) == 431
    assert refusal(head(POST, b"N" * (MOST_LINE + 1))) == 431


def test_there_are_100_headers_at_most() -> None:
    fields = [b"A%d: x" % number for number in range(MOST_HEADERS - 1)]
    assert len(with_fields(*fields).headers) == MOST_HEADERS == 100
    assert refusal(head(POST, *fields, b"one: more")) == 431


@pytest.mark.parametrize("end", [b"", b"\r\n", b"A: b", b"A: b\r\n"])
def test_half_a_head_is_refused(end: bytes) -> None:
    assert refusal(POST + b"\r\nHost: a\r\n" + end[:0]) == 400
    assert refusal(POST + end) == 400


@pytest.mark.parametrize(
    "host",
    [b"a", b"gw.test", b"gw.test:8080", b"gw.test:", b"127.0.0.1:1", b"[::1]", b"[::1]:8080",
     b"xn--caf-dma.test", b"a_b.test", b"%41", b"a!$&'()*+,;=~"],
)  # fmt: skip
def test_a_host_is_a_name_and_maybe_a_port(host: bytes) -> None:
    assert read_head(head(GET, host=b"Host: " + host)).fields[b"host"] == host


@pytest.mark.parametrize(
    "host",
    [b"", b" ", b":80", b"a b", b"a:b", b"a:80:80", b"a:123456", b"user@a", b"a/b", b"http://a",
     b"a?b", b"a#b", b"a,b/", b"a\\b", b"[::1", b"::1", b"[::1]x", b"[zz]", b"a\tb", b"\xc3\xa9",
     b'"a"', b"<a>", b"a|b", b"a^b", b"a{b}"],
)  # fmt: skip
def test_a_malformed_host_is_refused(host: bytes) -> None:
    assert refusal(head(GET, host=b"Host: " + host)) == 400


def test_a_host_is_needed_once() -> None:
    assert refusal(head(GET, host=None)) == 400
    assert refusal(head(GET, b"Host: gw.test")) == 400
    assert refusal(head(GET, b"host: other.test")) == 400
    assert refusal(head(b"GET / HTTP/1.0", b"Host: gw.test")) == 400
    assert refusal(head(b"GET / HTTP/1.0", host=b"Host: a b")) == 400
    assert read_head(head(b"GET / HTTP/1.0", host=None)).version == "1.0"


def test_remembered_hosts_are_few() -> None:
    for number in range(200):
        read_head(head(GET, host=b"Host: h%d.test" % number))
    assert len(heads._known_hosts) <= heads._MOST_KNOWN_HOSTS


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ((), 0),
        ((b"Content-Length: 0",), 0),
        ((b"Content-Length: 007",), 7),
        ((b"content-LENGTH:\t7 ",), 7),
        ((b"Content-Length: 999999999999999999",), 10**18 - 1),
        ((b"Transfer-Encoding: chunked",), CHUNKED),
        ((b"Transfer-Encoding: ChUnKeD ",), CHUNKED),
    ],
)
def test_a_body_has_one_length(fields: tuple[bytes, ...], length: int) -> None:
    assert with_fields(*fields).length == length


@pytest.mark.parametrize(
    "value",
    [b"", b" ", b"+5", b"-5", b"5.0", b"5,5", b"5, 5", b"5,", b"5;", b"5 5", b"0x5", b"5a", b"a",
     b"1e1", b"1_0", b'"5"', b"\xb2", b"\xd9\xa5", b"1000000000000000000", b"18446744073709551621"],
)  # fmt: skip
def test_a_content_length_is_one_whole_number(value: bytes) -> None:
    assert refusal(head(POST, b"Content-Length: " + value)) == 400


@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Length: 5", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5", b"content-length: 0"),
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 0"),
        (b"Transfer-Encoding: identity", b"Content-Length: 5"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        (b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"transfer-encoding: x"),
    ],
)
def test_a_body_whose_end_could_be_understood_twice_is_refused(fields: tuple[bytes, ...]) -> None:
    assert refusal(head(POST, *fields)) == 400


@pytest.mark.parametrize(
    "coding",
    [b"", b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked",
     b"chunked,", b",chunked", b"xchunked", b"chunkedx", b"chunk", b'"chunked"', b"chunked;q=1",
     b"chunked; a=b", b"'chunked'", b"chunked\xa0", b"\xa0chunked", b"chun ked", b"x chunked"],
)  # fmt: skip
def test_no_transfer_encoding_but_chunked_is_read(coding: bytes) -> None:
    assert refusal(head(POST, b"Transfer-Encoding: " + coding)) in {400, 501}


def test_http_1_0_has_no_chunks() -> None:
    line = b"POST /v1/messages HTTP/1.0"
    assert refusal(head(line, b"Transfer-Encoding: chunked")) == 400


@pytest.mark.parametrize(
    ("version", "fields", "kept"),
    [
        (b"1.1", (), True),
        (b"1.1", (b"Connection: close",), False),
        (b"1.1", (b"Connection: Close",), False),
        (b"1.1", (b"Connection: keep-alive",), True),
        (b"1.1", (b"Connection: keep-alive , CLOSE",), False),
        (b"1.1", (b"Connection: keep-alive", b"Connection: close"), False),
        (b"1.1", (b"Connection: close", b"Connection: keep-alive"), False),
        (b"1.1", (b"Connection: closed",), True),
        (b"1.1", (b"Connection: x-close",), True),
        (b"1.0", (), False),
        (b"1.0", (b"Connection: Keep-Alive",), True),
        (b"1.0", (b"Connection: keep-alive, close",), False),
        (b"1.0", (b"Connection: te",), False),
    ],
)
@pytest.mark.parametrize("body", [(), (b"Content-Length: 0",), (b"Content-Length: 9",)])
def test_a_connection_goes_on_unless_the_client_says_otherwise(
    version: bytes, fields: tuple[bytes, ...], kept: bool, body: tuple[bytes, ...]
) -> None:
    line = b"POST /v1/messages HTTP/" + version
    assert read_head(head(line, *fields, *body)).keep_alive is kept


def test_the_only_expectation_is_100_continue() -> None:
    assert with_fields(b"Expect: 100-Continue").expects_continue
    assert not with_fields().expects_continue
    assert refusal(head(POST, b"Expect: 200-ok")) == 417
    assert refusal(head(POST, b"Expect: 100-continue, x")) == 417
    assert refusal(head(POST, b"Expect: 100-continue", b"Expect: 100-continue")) == 400
    old = read_head(head(b"POST / HTTP/1.0", b"Expect: 100-continue"))
    assert not old.expects_continue


def test_an_upgrade_is_noticed() -> None:
    assert with_fields(b"Connection: Upgrade", b"Upgrade: websocket").upgrades
    assert with_fields(b"Upgrade: h2c").upgrades
    assert with_fields(b"Upgrade:").upgrades
    assert read_head(head(b"CONNECT a.test:443 HTTP/1.1")).upgrades
    assert not with_fields(b"Connection: upgrade").upgrades
    assert refusal(head(POST, b"Upgrade: a", b"Upgrade: b")) == 400


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    for each in (data, data + b"\r\n\r\n", head(POST, data), head(b"GET /" + data + b" HTTP/1.1")):
        try:
            found = read_head(each)
        except BadRequest:
            pass
        else:
            assert found.version in {"1.0", "1.1"}
            assert found.length >= CHUNKED


_NAMES = st.text("abcXYZ09-_!~", min_size=1, max_size=12).map(lambda name: "x" + name)
_VALUES = st.binary(max_size=30).map(
    lambda raw: bytes(byte for byte in raw if byte >= 32 and byte != 127).strip()
)


@given(st.lists(st.tuples(_NAMES.map(str.encode), _VALUES), max_size=20))
def test_proper_headers_arrive_as_they_were_sent(pairs: list[tuple[bytes, bytes]]) -> None:
    found = with_fields(*[name + b": " + value for name, value in pairs])
    assert list(found.headers[1:]) == [(name.lower(), value) for name, value in pairs]
