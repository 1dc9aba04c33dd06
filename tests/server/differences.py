"""Where the two lanes decide differently about `corpus.CASES`, and why.

An entry that is missing here fails the test, and so does one that is no longer true.
"""

from __future__ import annotations

STRICTER: dict[str, list[str]] = {
    "Methods are case-sensitive (RFC 9110 9.1); Hypercorn makes them upper-case.": [
        "method post",
        "method Post",
    ],
    "Only HTTP/1.1 and 1.0 are spoken; h11 reads any other digits as HTTP/1.1.": [
        "version HTTP/1.2",
        "version HTTP/1.9",
        "version HTTP/2.0",
        "version HTTP/3.0",
    ],
    "Folded lines are refused (RFC 9112 5.2); h11 unfolds them.": [
        "name ' X-A'",
        "name \\tX-A",
        "chunks 0\\r\\nX: a\\r\\n b\\r\\n\\r\\n",
        "end 1 '\\r\\n '",
        "end 1 \\r\\n\\t",
        "end 2 '\\r\\n '",
        "end 2 \\r\\n\\t",
        "smuggle TE in a folded line",
        "smuggle TE folded by a tab",
        "smuggle TE folded after X",
        "smuggle CL folded",
        "smuggle host twice, folded",
    ],
    "Control characters in values are refused (RFC 9110 5.5); h11 takes most of them.": [
        "value a\\x01b",
        "value a\\x08b",
        "value a\\x1bb",
        "value a\\x1fb",
        "value a\\x7fb",
    ],
    "A Host must be a name and maybe a port (RFC 9112 3.2); h11 takes any value.": [
        "host ''",
        "host ' '",
        "host :80",
        "host a b",
        "host a:b",
        "host a:80:80",
        "host u@a",
        "host u:p@a",
        "host a/b",
        "host http://a",
        "host a?b",
        "host a#b",
        "host a\\b",
        "host [::1",
        "host ::1",
        "host [x]",
        "host a\\tb",
        "host \\xc3\\xa9",
        'host "a"',
        "host <a>",
        "host a|b",
        "host a^b",
        "host a`b",
        "host a\\xffb",
        "host of 1.0 ''",
        "host of 1.0 ' '",
        "host of 1.0 :80",
        "host of 1.0 a b",
        "host of 1.0 a:b",
        "host of 1.0 a:80:80",
        "smuggle host with a path",
        "smuggle host with a port of words",
        "smuggle host with a comma",
    ],
    "An expectation that is not 100-continue gets 417 (RFC 9110 10.1.1); h11 passes over it.": [
        "expect 100-continue, x",
        "expect x",
        "expect ''",
        "expect 200-ok",
        "smuggle expect obfuscated",
        "smuggle expect twice",
    ],
    "Content-Length is one number, once; h11 joins equal ones.": [
        "length 5,5",
        "length 5, 5",
        "lengths 5 5",
    ],
    "llhttp takes no tab behind the coding.": [
        "coding chunked\\t",
    ],
    "HTTP/1.0 knows no Transfer-Encoding (RFC 9112 6.1); h11 reads it.": [
        "coding of 1.0 chunked",
        "both 1.0",
    ],
    "Content-Length beside Transfer-Encoding is refused (RFC 9112 6.3); h11 takes the chunks.": [
        "both length, coding",
        "both coding, length",
        "both short length",
        "both no length",
        "smuggle CL.TE",
        "smuggle TE.CL",
        "smuggle TE tab before value",
        "smuggle TE no space",
        "smuggle TE named by Connection",
    ],
    "White space behind a chunk's size is refused; h11 allows it.": [
        "chunks 5 \\r\\nabcde\\r\\n0\\r\\n\\r\\n",
        "chunks 5\\t\\r\\nabcde\\r\\n0\\r\\n\\r\\n",
        "smuggle chunk last not alone",
    ],
    "A line ends with CRLF; h11 takes a bare LF too.": [
        "chunks 5\\r\\nabcde\\r\\n0\\r\\n\\n",
        "chunks 0\\r\\nX: a\\n\\r\\n",
        "end 0 \\n",
        "end 1 \\n",
        "end 1 \\n\\n",
        "end 2 \\n",
        "end 2 \\n\\n",
        "end 3 \\n",
        "end 3 \\n\\n",
        "end 4 \\n",
        "end 4 \\n\\r",
        "end 4 \\n\\n",
        "end all LF",
        "smuggle TE after a bare LF",
        "smuggle TE after LF in the name",
        "smuggle chunk trailer LF",
        "smuggle head ended by LF LF",
        "smuggle head ended by LF CRLF",
    ],
    "Control characters in chunk extensions are refused; h11 takes anything.": [
        "chunks 5;a\\rb\\r\\nabcde\\r\\n0\\r\\n\\r\\n",
        "chunks 5;a\\x00\\r\\nabcde\\r\\n0\\r\\n\\r\\n",
    ],
    "A chunk's size has 8 digits at most; h11 reads 20.": [
        "chunks 000000000005\\r\\nabcde\\r\\n0\\r\\n\\r\\n",
    ],
    "A chunk over the limit is refused by its size; the app waits for its bytes.": [
        "chunks 100000005\\r\\n",
        "chunks ffffffffffffffff5\\r\\nabcde\\r\\n",
        "size chunk over limit",
        "smuggle chunk size overflow",
        "smuggle chunk size overflow 32",
    ],
    "A chunk's line has 1 KiB at most, trailers 8 KiB; h11 allows 64 KiB.": [
        "chunks 5;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...2016",
        "chunks 0\\r\\nX: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...9010",
    ],
    "Lines have 8 KiB, heads 100 headers and 64 KiB; h11 has a limit for incomplete heads only.": [
        "size line 8193",
        "size target 8193",
        "size 101 headers",
        "size head 70000",
    ],
}
"""The express lane refuses what Hypercorn and the app accept."""

LOOSER: dict[str, list[str]] = {
    "One empty line before a request is passed over (RFC 9112 2.2); h11 refuses it.": [
        "before \\r\\n",
    ],
    "The app answers 500 to a Host with a label above 63 bytes: werkzeug encodes it for IDNA.": [
        "host aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...300",
    ],
    "White space before a chunk extension is allowed (RFC 9112 7.1.1); h11 refuses it.": [
        "chunks 5 ;a\\r\\nabcde\\r\\n0\\r\\n\\r\\n",
    ],
    "Trailers are dropped unread (RFC 9110 6.5.1); h11 reads them as headers.": [
        "chunks 0\\r\\nTransfer-Encoding: gzip\\r\\n\\r\\n",
    ],
    "Bytes behind a request of HTTP/1.0 are dropped with the connection; h11 refuses them.": [
        "no length, 1.0",
    ],
    "HTTP/1.0 may ask for keep-alive (RFC 9112 9.3); h11 always closes.": [
        "smuggle CL and body in a GET of 1.0",
    ],
}
"""The express lane accepts what Hypercorn or the app refuses."""

OTHER: dict[str, list[str]] = {
    "A method nobody knows ends the connection; h11 reads any word, and the app says 405.": [
        "method BREW",
        "method XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
    ],
    "PRI is no method of HTTP/1.1; h11 reads it as any word.": [
        "method PRI",
        "smuggle preface of 1.1",
    ],
    "A path with encoded control characters ends the connection; the app finds no route.": [
        "path /v1/messages%00",
        "path /v1beta/models/m%0d%0aX:generateContent",
        "get /v1/messages%00",
    ],
    "HTTP/1.0 may ask for keep-alive (RFC 9112 9.3); h11 always closes.": [
        "connection of 1.0 keep-alive",
    ],
    "One empty line before a request is passed over (RFC 9112 2.2); h11 refuses it.": [
        "then blank",
    ],
    "HTTP/2 begins with a connection or not at all; Hypercorn changes over later too.": [
        "smuggle preface late",
    ],
}
"""Both accept or both refuse, but something else differs."""
