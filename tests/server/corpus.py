"""Raw requests, named: proper ones, malformed ones, and those that smuggle a second one.

`CASES` is name -> bytes. The systematic ones are made of building blocks; `smuggling.py` has those
that are known from the literature. What comes after a case on its connection is up to its user.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.server.smuggling import SMUGGLING
from tests.server.wire import GET, HOST, POST, chunked, head, post

GOLDEN = Path(__file__).resolve().parent.parent / "golden/http"
BODY = b"abcde"
CHUNKS = b"5\r\nabcde\r\n0\r\n\r\n"


def _shown(raw: bytes) -> str:
    """Return a short printable name for bytes."""
    text = repr(raw)[2:-1].replace("\\\\", "\\")
    if not text or text != text.strip():
        text = f"'{text}'"
    return text if len(text) <= 48 else f"{text[:40]}...{len(raw)}"


def _named(group: str, cases: dict[bytes, bytes]) -> dict[str, bytes]:
    named = {f"{group} {_shown(key)}": raw for key, raw in cases.items()}
    assert len(named) == len(cases), group
    return named


def _blocks() -> dict[str, list[bytes]]:
    """Read the building blocks by their section."""
    found: dict[str, list[bytes]] = {}
    section = ""
    for line in (GOLDEN / "blocks.txt").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            found[section] = []
        elif line and not line.startswith("#"):
            found[section].append(ast.literal_eval(line))
    return found


BLOCKS = _blocks()
_METHODS = BLOCKS["methods"]
_PATHS = [*BLOCKS["paths"], b"/v1/messages?" + b"q" * 4000]
_VERSIONS = BLOCKS["versions"]
_LENGTHS = BLOCKS["lengths"]
_CODINGS = BLOCKS["codings"]
_NAMES = [*BLOCKS["names"], b"X" * 300]
_VALUES = [*BLOCKS["values"], b"a" * 4000]
_HOSTS = [*BLOCKS["hosts"], b"a" * 300]
_CHUNKED_BODIES = [
    *BLOCKS["chunks"],
    *[b"5;" + b"x" * length + b"\r\nabcde\r\n0\r\n\r\n" for length in (900, 2000)],
    *[b"0\r\nX: " + b"x" * length + b"\r\n\r\n" for length in (7000, 9000)],
]


def _request_lines() -> dict[str, bytes]:
    length = b"Content-Length: 0"
    return {
        **_named("method", {each: head(each + POST[4:], length) for each in _METHODS}),
        **_named("path", {each: head(b"POST %b HTTP/1.1" % each, length) for each in _PATHS}),
        **_named("get", {each: head(b"GET %b HTTP/1.1" % each) for each in _PATHS[::4]}),
        **_named(
            "version", {each: head(b"POST /v1/messages " + each, length) for each in _VERSIONS}
        ),
        **_named(
            "separator",
            {
                each: head(b"POST%b/v1/messages%bHTTP/1.1" % (each, each), length)
                for each in [b"  ", b"\t", b" \t", b"\x0b", b"\x0c", b"\x00", b"\xa0", b"", b"\r"]
            },
        ),
        **_named(
            "before",
            {
                each: each + post(BODY)
                for each in BLOCKS["before"]
            },
        ),
    }  # fmt: skip


def _fields() -> dict[str, bytes]:
    return {
        **_named("name", {each: post(BODY, each + b": a") for each in _NAMES}),
        **_named("value", {each: post(BODY, b"X-A:" + each) for each in _VALUES}),
        **_named("host", {each: post(BODY).replace(HOST, b"Host: " + each) for each in _HOSTS}),
        **_named("host of 1.0", {each: _old(b"Host: " + each) for each in _HOSTS[7:14]}),
        **_named("expect", {each: post(BODY, b"Expect: " + each)
                            for each in BLOCKS["expectations"]}),
        **_named("connection", {each: post(b"", b"Connection: " + each)
                                for each in BLOCKS["connections"]}),
        **_named("connection, body", {each: post(BODY, b"Connection: " + each)
                                      for each in BLOCKS["connections"][:5]}),
        **_named("connection of 1.0", {each: _old(HOST, b"Connection: " + each)
                                       for each in BLOCKS["connections"][:5]}),
        **_named("upgrade", {each: post(BODY, b"Upgrade: " + each, b"Connection: upgrade")
                             for each in BLOCKS["upgrades"]}),
        **_named("encoding", {each: post(BODY, b"Content-Encoding: " + each)
                              for each in BLOCKS["encodings"]}),
    }  # fmt: skip


def _old(*fields: bytes) -> bytes:
    return head(b"GET /v1/models HTTP/1.0", *fields, host=None)


def _lengths() -> dict[str, bytes]:
    length, coding = b"Content-Length: ", b"Transfer-Encoding: "
    both = {
        b"length, coding": head(POST, length + b"15", coding + b"chunked") + CHUNKS,
        b"coding, length": head(POST, coding + b"chunked", length + b"15") + CHUNKS,
        b"short length": head(POST, length + b"3", coding + b"chunked") + CHUNKS,
        b"no length": head(POST, length + b"0", coding + b"chunked") + CHUNKS,
        b"identity": head(POST, length + b"5", coding + b"identity") + BODY,
        b"empty coding": head(POST, length + b"5", coding) + BODY,
        b"bad coding": head(POST, length + b"5", coding + b"x") + BODY,
        b"1.0": head(b"POST /v1/messages HTTP/1.0", length + b"15", coding + b"chunked") + CHUNKS,
    }
    twice = {
        b"5 5": (b"5", b"5"), b"5 6": (b"5", b"6"), b"6 5": (b"6", b"5"), b"0 5": (b"0", b"5"),
        b"5 05": (b"5", b"05"), b"5 none": (b"5", b""), b"5 bad": (b"5", b"x"),
    }  # fmt: skip
    codings = {
        b"chunked chunked": (b"chunked", b"chunked"), b"chunked x": (b"chunked", b"x"),
        b"x chunked": (b"x", b"chunked"), b"identity chunked": (b"identity", b"chunked"),
        b"chunked identity": (b"chunked", b"identity"), b"gzip chunked": (b"gzip", b"chunked"),
    }  # fmt: skip
    return {
        **_named("length", {each: head(POST, length + each) + BODY for each in _LENGTHS}),
        **_named("length of a get", {each: head(GET, length + each) + BODY
                                     for each in _LENGTHS[:3]}),
        **_named("coding", {each: head(POST, coding + each) + CHUNKS for each in _CODINGS}),
        **_named("coding of a get", {each: head(GET, coding + each) + CHUNKS
                                     for each in _CODINGS[:2]}),
        **_named("coding of 1.0", {each: head(POST[:-1] + b"0", coding + each) + CHUNKS
                                   for each in _CODINGS[:1] + _CODINGS[12:13]}),
        **_named("both", both),
        **_named("lengths", {name: head(POST, length + a, length + b) + BODY
                             for name, (a, b) in twice.items()}),
        **_named("codings", {name: head(POST, coding + a, coding + b) + CHUNKS
                             for name, (a, b) in codings.items()}),
        **_named("chunks", {each: chunked(end=each) for each in _CHUNKED_BODIES}),
        "no length": head(POST),
        "no length, body": head(POST) + BODY,
        "no length, 1.0": head(b"POST /v1/messages HTTP/1.0") + BODY,
    }  # fmt: skip


def _line_ends() -> dict[str, bytes]:
    whole = head(POST, b"X-A: a", b"Content-Length: 5") + BODY
    found: dict[str, bytes] = {}
    ends = [match.start() for match in re.finditer(b"\r\n", whole)]
    for number, at in enumerate(ends):
        for end in (
            b"\n",
            b"\r",
            b"\r\r\n",
            b"\n\r",
            b"\n\n",
            b"\r\n ",
            b"\r\n\t",
            b"\x00\r\n",
            b" \r\n",
        ):
            found[f"end {number} {_shown(end)}"] = whole[:at] + end + whole[at + 2 :]
    found["end all LF"] = whole.replace(b"\r\n", b"\n")
    found["end all CR"] = whole.replace(b"\r\n", b"\r")
    return found  # fmt: skip


def _sizes() -> dict[str, bytes]:
    return {
        "size line 8192": post(BODY, b"X: " + b"a" * 8189),
        "size line 8193": post(BODY, b"X: " + b"a" * 8190),
        "size target 8192": head(b"POST /v1/messages?%b HTTP/1.1" % (b"q" * 8165)),
        "size target 8193": head(b"POST /v1/messages?%b HTTP/1.1" % (b"q" * 8167)),
        "size 100 headers": post(BODY, *[b"X%d: a" % each for each in range(98)]),
        "size 101 headers": post(BODY, *[b"X%d: a" % each for each in range(99)]),
        "size head 60000": post(BODY, *[b"X: " + b"a" * 1000] * 59),
        "size head 70000": post(BODY, *[b"X: " + b"a" * 1000] * 69),
        "size length over limit": head(POST, b"Content-Length: 5000") + BODY,
        "size chunk over limit": head(POST, b"Transfer-Encoding: chunked") + b"1400\r\n",
        "size chunks over limit": chunked(bytes(4000), bytes(97)),
        "size body at limit": post(bytes(4096)),
    }


def _sequences() -> dict[str, bytes]:
    """Two requests after each other, of every kind."""
    kinds = {
        "get": head(GET),
        "head": head(b"HEAD /v1/models HTTP/1.1"),
        "post": post(BODY),
        "chunked": chunked(BODY),
        "empty": post(b""),
        "refused": head(b"PUT /v1/messages HTTP/1.1", b"Content-Length: 0"),
        "elsewhere": head(b"GET /health HTTP/1.1"),
        "bad": head(POST, b"Bad Name: x"),
    }
    pairs = {f"then {a} {b}": kinds[a] + kinds[b] for a in kinds for b in kinds}
    many = {f"then six {name}": raw * 6 for name, raw in kinds.items()}
    return pairs | many | {"then blank": post(BODY) + b"\r\n" + post(BODY)}


CASES: dict[str, bytes] = {
    **_request_lines(), **_fields(), **_lengths(), **_line_ends(), **_sizes(), **_sequences(),
    **{f"smuggle {name}": raw for name, raw in SMUGGLING.items()},
}  # fmt: skip
