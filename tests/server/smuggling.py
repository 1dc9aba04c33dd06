"""Requests from the literature on request smuggling, each with a second one hidden in it.

Sources: Linhart et al. 2005 (HTTP request smuggling), Kettle 2019 (HTTP desync attacks), 2022
(browser-powered desync) and 2025 (HTTP/1.1 must die), Jabiyev et al. 2021 (T-Reqs), Kallus et al.
2024 (Gudifu, HTTP Garden), Kottapalli and Fortis 2025 (funky chunks).
"""

from __future__ import annotations

from tests.server.wire import GET, HOST, POST, head

HIDDEN = b"GET /v1/models/hidden HTTP/1.1\r\nHost: gw.test\r\nX-Hidden: 1\r\n\r\n"
_OLD = b"POST /v1/messages HTTP/1.0"
_THREE = b"Content-Length: 3"
_END = b"0\r\n\r\n"
_TE = b"Transfer-Encoding: chunked"
_ALL = b"Content-Length: %d" % len(_END + HIDDEN)


def _both(*fields: bytes) -> bytes:
    """Return a request that is longer by its length than by its chunks."""
    return head(POST, _ALL, *fields) + _END + HIDDEN


def _chunks(body: bytes) -> bytes:
    return head(POST, _TE) + body


SMUGGLING: dict[str, bytes] = {
    # CL.TE and TE.CL, with the ways to hide the coding from one of the two.
    "CL.TE": _both(_TE),
    "TE.CL": head(POST, _TE, b"Content-Length: 4") + b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + _END,
    "TE space before colon": _both(b"Transfer-Encoding : chunked"),
    "TE tab before colon": _both(b"Transfer-Encoding\t: chunked"),
    "TE tab before value": _both(b"Transfer-Encoding:\tchunked"),
    "TE no space": _both(b"Transfer-Encoding:chunked"),
    "TE vertical tab": _both(b"Transfer-Encoding: \x0bchunked"),
    "TE form feed": _both(b"Transfer-Encoding:\x0c chunked"),
    "TE in a folded line": _both(b"Transfer-Encoding:\r\n chunked"),
    "TE folded by a tab": _both(b"Transfer-Encoding:\r\n\tchunked"),
    "TE folded after X": _both(b"X: a\r\n Transfer-Encoding: chunked"),
    "TE after a bare LF": _both(b"X: a\nTransfer-Encoding: chunked"),
    "TE after a bare CR": _both(b"X: a\rTransfer-Encoding: chunked"),
    "TE after CR CR LF": _both(b"X: a\r\r\nTransfer-Encoding: chunked"),
    "TE name broken by LF": _both(b"Transfer-Encoding\n: chunked"),
    "TE after LF in the name": _both(b"\nTransfer-Encoding: chunked"),
    "TE with NUL": _both(b"Transfer-Encoding: chunked\x00"),
    "TE NUL in name": _both(b"Transfer-Encoding\x00: chunked"),
    "TE with underscore": _both(b"Transfer_Encoding: chunked"),
    "TE doubled": _both(_TE, b"Transfer-Encoding: x"),
    "TE doubled, other first": _both(b"Transfer-Encoding: x", _TE),
    "TE doubled, case": _both(b"Transfer-encoding: identity", b"Transfer-Encoding: chunked"),
    "TE list": _both(b"Transfer-Encoding: identity, chunked"),
    "TE cow": _both(b"Transfer-Encoding: cow, chunked"),
    "TE quoted": _both(b'Transfer-Encoding: "chunked"'),
    "TE parameter": _both(b"Transfer-Encoding: chunked;foo=bar"),
    "TE with colon": _both(b"Transfer-Encoding: : chunked"),
    "TE two colons": _both(b"Transfer-Encoding:: chunked"),
    "TE leading colon": _both(b": Transfer-Encoding: chunked"),
    "TE high byte": _both(b"Transfer-Encoding: chunked\xff"),
    "TE no-break space": _both(b"Transfer-Encoding:\xa0chunked"),
    "TE without colon": _both(b"Transfer-Encoding chunked"),
    "TE behind a space": _both(b" Transfer-Encoding: chunked"),
    "TE as first line folded": head(POST, _ALL, host=b" Transfer-Encoding: chunked\r\n" + HOST)
    + _END
    + HIDDEN,
    "TE named by Connection": _both(_TE, b"Connection: transfer-encoding"),
    "CL named by Connection": head(POST, b"Content-Length: 5", b"Connection: content-length")
    + b"abcde"
    + HIDDEN,
    "TE in 1.0": head(_OLD, _TE, b"Connection: keep-alive") + _END + HIDDEN,
    "TE.TE in 1.0": head(_OLD, _TE, b"Connection: keep-alive", _ALL)
    + _END
    + HIDDEN,
    "TE.0": _chunks(b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + _END),
    # Lengths.
    "CL.CL": head(POST, b"Content-Length: 0", b"Content-Length: %d" % len(HIDDEN)) + HIDDEN,
    "CL.CL other way": head(POST, b"Content-Length: %d" % len(HIDDEN), b"Content-Length: 0")
    + HIDDEN,
    "CL list": head(POST, b"Content-Length: 0, %d" % len(HIDDEN)) + HIDDEN,
    "CL plus": head(POST, b"Content-Length: +%d" % len(HIDDEN)) + HIDDEN,
    "CL minus": head(POST, b"Content-Length: -%d" % len(HIDDEN)) + HIDDEN,
    "CL octal": head(POST, b"Content-Length: 0%d" % len(HIDDEN)) + HIDDEN,
    "CL hex": head(POST, b"Content-Length: 0x%x" % len(HIDDEN)) + HIDDEN,
    "CL space before colon": head(POST, b"Content-Length : %d" % len(HIDDEN)) + HIDDEN,
    "CL NUL": head(POST, b"Content-Length: %d\x00" % len(HIDDEN)) + HIDDEN,
    "CL folded": head(POST, b"Content-Length:\r\n %d" % len(HIDDEN)) + HIDDEN,
    "CL folded twice": head(POST, b"Content-Length: 1\r\n 0") + HIDDEN,
    "CL after a bare CR": head(POST, b"X: a\rContent-Length: %d" % len(HIDDEN)) + HIDDEN,
    "CL overflow": head(POST, b"Content-Length: %d" % (2**64 + 5)) + b"abcde" + HIDDEN,
    "CL overflow 32": head(POST, b"Content-Length: %d" % (2**32 + 5)) + b"abcde" + HIDDEN,
    "CL.0": head(b"POST /health HTTP/1.1", b"Content-Length: %d" % len(HIDDEN)) + HIDDEN,
    "CL.0 on a refused path": head(b"PUT /v1/messages HTTP/1.1",
                                   b"Content-Length: %d" % len(HIDDEN)) + HIDDEN,
    "0.CL": head(GET, b"Content-Length: %d" % len(HIDDEN)) + HIDDEN,
    "0.CL by HEAD": head(b"HEAD /v1/models HTTP/1.1", b"Content-Length: %d" % len(HIDDEN)) + HIDDEN,
    "CL and body in a GET of 1.0": head(b"GET /v1/models HTTP/1.0", _THREE,
                                        b"Connection: keep-alive") + b"abc" + HIDDEN,
    "TE elsewhere": head(b"POST /health HTTP/1.1", _TE) + _END + HIDDEN,
    "CL.TE elsewhere": head(b"POST /health HTTP/1.1", _ALL, _TE) + _END + HIDDEN,
    # Chunks.
    "chunk LF in extension": _chunks(b"2;\nxx\r\n%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + _END),
    "chunk LF after size": _chunks(b"2\nab\r\n" + _END + HIDDEN),
    "chunk CR after size": _chunks(b"2\rab\r\n" + _END + HIDDEN),
    "chunk spill": _chunks(b"5\r\nabcdeXX\r\n" + _END + HIDDEN),
    "chunk one-byte terminator": _chunks(b"5\r\nabcde\n2d\r\n" + _END + HIDDEN),
    "chunk two-byte terminator": _chunks(b"5\r\nabcde45\r\n" + _END + HIDDEN),
    "chunk no terminator": _chunks(b"5\r\nabcde0\r\n\r\n" + HIDDEN),
    "chunk size overflow": _chunks(b"10000000000000005\r\nabcde\r\n" + _END + HIDDEN),
    "chunk size overflow 32": _chunks(b"100000005\r\nabcde\r\n" + _END + HIDDEN),
    "chunk size 0x": _chunks(b"0x5\r\nabcde\r\n" + _END + HIDDEN),
    "chunk size negative": _chunks(b"-1\r\nabcde\r\n" + _END + HIDDEN),
    "chunk size underscore": _chunks(b"1_0\r\nabcde\r\n" + _END + HIDDEN),
    "chunk size space": _chunks(b"5 5\r\nabcde\r\n" + _END + HIDDEN),
    "chunk size NUL": _chunks(b"5\x00\r\nabcde\r\n" + _END + HIDDEN),
    "chunk size empty": _chunks(b"\r\nabcde\r\n" + _END + HIDDEN),
    "chunk last with LF": _chunks(b"5\r\nabcde\r\n0\n\n" + HIDDEN),
    "chunk last with CR": _chunks(b"5\r\nabcde\r\n0\r\r" + HIDDEN),
    "chunk last half": _chunks(b"5\r\nabcde\r\n0\r\n" + HIDDEN),
    "chunk last not alone": _chunks(b"5\r\nabcde\r\n0 \r\n\r\n" + HIDDEN),
    "chunk many zeros": _chunks(b"5\r\nabcde\r\n" + b"0" * 300 + b"\r\n\r\n" + HIDDEN),
    "chunk quoted CRLF": _chunks(b'5;a="\r\n"\r\nabcde\r\n' + _END + HIDDEN),
    "chunk trailer CL": _chunks(b"0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN),
    "chunk trailer LF": _chunks(b"0\r\nX: a\n\n" + HIDDEN),
    "chunk trailer bare CR": _chunks(b"0\r\nX: a\r\rGET / HTTP/1.1\r\n\r\n" + HIDDEN),
    # Line ends and request lines.
    "head ended by LF LF": head(POST)[:-4] + b"\n\n" + HIDDEN,
    "head ended by LF CRLF": head(POST)[:-4] + b"\n\r\n" + HIDDEN,
    "head ended by CR CR": head(POST)[:-4] + b"\r\r" + HIDDEN,
    "head ended by CRLF CR": head(POST)[:-2] + b"\r" + HIDDEN,
    "head ended by a line of space": head(POST)[:-2] + b" \r\n" + HIDDEN,
    "head hides the next line": head(POST, b"X: a\r\n\r" + HIDDEN[:-4]),
    "line within a line": b"GET /v1/models HTTP/1.1 POST /v1/messages HTTP/1.1\r\nHost: a\r\n\r\n",
    "line without version": b"GET /v1/models\r\n" + HIDDEN,
    "line of 0.9 only": b"GET /v1/models\r\n",
    "line broken by tabs": b"GET\t/v1/models\tHTTP/1.1\r\nHost: a\r\n\r\n",
    "line with a fragment": b"GET /v1/models#/../x HTTP/1.1\r\nHost: a\r\n\r\n",
    "line with a full URL": b"GET http://other.test/v1/models HTTP/1.1\r\nHost: gw.test\r\n\r\n",
    "line with a user": b"GET http://u@other.test/v1/models HTTP/1.1\r\nHost: gw.test\r\n\r\n",
    "line with an odd scheme": b"GET x://y:1/v1/models HTTP/1.1\r\nHost: gw.test\r\n\r\n",
    "line with an at": b"GET @other.test/v1/models HTTP/1.1\r\nHost: gw.test\r\n\r\n",
    "line reaching into fields": b"GET /v1/models\r\nX: a HTTP/1.1\r\nHost: gw.test\r\n\r\n",
    # Hosts.
    "host twice": head(GET, b"Host: other.test"),
    "host twice, folded": head(GET, b" Host: other.test"),
    "host twice, case": head(GET, b"hOST: other.test"),
    "host twice, space": head(GET, b"Host : other.test"),
    "host behind a space": head(GET, host=b" Host: gw.test"),
    "host missing": head(GET, host=None),
    "host with a path": head(GET, host=b"Host: gw.test/v1/messages?"),
    "host with a port of words": head(GET, host=b"Host: gw.test:80@other.test"),
    "host with a comma": head(GET, host=b"Host: gw.test, other.test"),
    "host underscored too": head(GET, b"Host_: other.test"),
    # Expectations (Kettle 2025) and upgrades.
    "expect and body": head(POST, b"Expect: 100-continue", _THREE) + b"abc" + HIDDEN,
    "expect obfuscated": head(POST, b"Expect: y 100-continue", _THREE) + b"abc" + HIDDEN,
    "expect after LF": head(POST, b"Expect: \n100-continue", _THREE) + b"abc" + HIDDEN,
    "expect in a GET": head(GET, b"Expect: 100-continue", _THREE) + b"abc" + HIDDEN,
    "expect twice": head(POST, b"Expect: 100-continue", b"Expect: x", _THREE)
    + b"abc"
    + HIDDEN,
    "websocket of a bad version": head(
        GET, b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 777",
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ) + HIDDEN,
    "upgrade without Connection": head(GET, b"Upgrade: websocket") + HIDDEN,
    "h2c with a body": head(
        POST, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAAA",
        _THREE,
    ) + b"abc" + HIDDEN,
    "connect to a path": head(b"CONNECT /v1/models HTTP/1.1") + HIDDEN,
    "preface late": head(GET) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "preface of 1.1": b"PRI * HTTP/1.1\r\nHost: gw.test\r\n\r\nSM\r\n\r\n",
    "reply as a request": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
}  # fmt: skip
