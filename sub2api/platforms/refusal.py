"""One refusal of a vendor, read once: its words in lower case, its numbers as they came."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from sub2api.platforms.forwarding import value_of
from sub2api.transport.messages import Headers

_MOST_DECODED = 256 << 10
_MOST_MASKED = 4096
_LONGEST_DETAIL = 512
_SECRET = re.compile(
    r"\b((?:api_?)?key|client_secret|access_token|refresh_token)=[^&\s\"']+", re.IGNORECASE
)
_KEY = re.compile(r"\b(?:sk|AIza|Bearer )[-_A-Za-z0-9.]{7,}[-_A-Za-z0-9]")


class Refusal(msgspec.Struct, frozen=True):
    """What came back. `error` is the body's error object ({} if it has none).

    `words` are its type, code and status, lower case. `message` is the vendor's text as it came;
    `said` the same in lower case, with the whole start of a body that is not the vendor's JSON.
    """

    status: int
    headers: Headers
    body: bytes
    now: float
    error: dict[str, Any]
    words: frozenset[str]
    message: str
    said: str

    def says(self, *phrases: str) -> bool:
        """Whether any of the phrases (lower case) is in the vendor's text."""
        return any(phrase in self.said for phrase in phrases)

    def header(self, name: bytes) -> str:
        """Return a header's value, "" when absent."""
        return value_of(self.headers, name)

    @property
    def is_page(self) -> bool:
        """Whether it is a web page: something between us and the vendor answered."""
        return not self.error and (
            "text/html" in self.header(b"content-type").lower()
            or self.said.lstrip().startswith(("<!doctype", "<html"))
        )

    @property
    def detail(self) -> str:
        """The vendor's message for an operator: secrets masked, at most 512 characters."""
        return masked(self.message)


def read(status: int, headers: Headers, body: bytes, now: float) -> Refusal:
    """Read a refusal. Any body will do, none too."""
    error = _error_of(body) if len(body) <= _MOST_DECODED else {}
    message = message_of(error) or _start(body)
    words = {str(error[name]).lower() for name in ("type", "code", "status") if error.get(name)}
    return Refusal(status, headers, body, now, error, frozenset(words), message, message.lower())


def masked(text: str) -> str:
    """Return a vendor's text without the secrets it may repeat, at most 512 characters.

    It is one line of printable text: it goes into logs, tables and a terminal.
    """
    text = _SECRET.sub(lambda found: f"{found.group(1)}=***", text[:_MOST_MASKED])
    text = "".join(each if each.isprintable() else " " for each in _KEY.sub("***", text))
    return text.strip()[:_LONGEST_DETAIL]


def message_in(body: bytes) -> str:
    """Return the message of a vendor's error body, masked; "" if there is none."""
    return masked(message_of(_error_of(body[:_MOST_DECODED])))


def message_of(error: dict[str, Any]) -> str:
    """Return an error object's message. Some relays wrap a whole error body into it, as text."""
    message = error.get("message") or error.get("detail")
    if not isinstance(message, str):
        return ""
    if message.lstrip().startswith("{"):
        inner = _error_of(message.encode("utf-8", "replace")).get("message")
        return inner if isinstance(inner, str) else message
    return message


def details(error: dict[str, Any], kind: str) -> Iterable[dict[str, Any]]:
    """Yield Google's `error.details[]` whose `@type` ends in `kind`."""
    rows = error.get("details")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and str(row.get("@type", "")).rpartition("/")[2].endswith(kind):
            yield row


def _error_of(body: bytes) -> dict[str, Any]:
    """Return `error` of a body, or the body itself where its message is at the top."""
    try:
        decoded: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if isinstance(decoded, list) and decoded:  # Google's streams are lists of objects
        decoded = decoded[0]
    if not isinstance(decoded, dict):
        return {}
    error = decoded.get("error")
    if isinstance(error, str):
        return {**decoded, "message": decoded.get("message") or error}
    return error if isinstance(error, dict) else decoded


def _start(body: bytes) -> str:
    return body[:4096].decode("utf-8", "replace")
