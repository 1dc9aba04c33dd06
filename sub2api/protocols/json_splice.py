"""Change one value in raw JSON and leave every other byte as it was.

Re-encoding a body would change number forms, key order and escapes, and cost milliseconds on large
ones. Instead candidates for the key are found by a byte search, and a candidate counts only if the
text before it, closed with the right braces, is itself an object of the right nesting: then the key
is at that level and not inside a string, an array or a deeper object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec


class _Nothing(msgspec.Struct):
    """Decodes any object while building nothing."""


_validate = msgspec.json.Decoder(_Nothing).decode
_encode = msgspec.json.Encoder().encode
_STRING = rb'"(?:[^"\\]|\\.)*"'
_WHOLE_STRING = re.compile(_STRING, re.DOTALL)
_SCALAR = re.compile(_STRING + rb"|[^,\]}\s]+", re.DOTALL)
_STRUCTURE = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_OPENING = frozenset({b"{", b"["})
_CLOSING = frozenset({b"}", b"]"})
_FEW = 16
"""Up to so many candidates are checked one by one: almost always there are one or two."""


def _key_pattern(key: str) -> re.Pattern[bytes]:
    """Match the key followed by a colon, plain or with any of its characters escaped."""
    letters = "".join(f"(?:{re.escape(letter)}|\\\\u00{_hex_class(ord(letter))})" for letter in key)
    return re.compile(rb'"' + letters.encode() + rb'"[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)


def _hex_class(code: int) -> str:
    return "".join(
        f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{code:02x}"
    )


_patterns: dict[str, re.Pattern[bytes]] = {}


def _candidates(body: bytes, key: str) -> Iterator[re.Match[bytes]]:
    pattern = _patterns.get(key)
    if pattern is None:
        pattern = _patterns[key] = _key_pattern(key)
    return pattern.finditer(body)


def _is_level(body: bytes, end: int, opened_at: int) -> bool:
    """Whether `end` is where a key of the object that opens at `opened_at` begins."""
    prefix = body[opened_at:end].rstrip(b" \t\r\n")
    if not prefix.endswith((b",", b"{")):
        return False
    if prefix.endswith(b","):
        prefix = prefix[:-1]
    try:
        _validate(prefix + b"}")
    except msgspec.DecodeError:
        return False
    return True


def _object_start(body: bytes) -> int:
    """Return the offset of the opening brace of a JSON object, -1 if it is none."""
    start = len(body) - len(body.lstrip(b" \t\r\n"))
    return start if body[start : start + 1] == b"{" else -1


def values_of(body: bytes, key: str, opened_at: int | None = None) -> list[int]:
    """Return the offsets at which the values of a key begin, for one object's own level.

    `opened_at` is the offset of that object's brace; None is the body itself. More than one offset
    means that the key is there more than once.
    """
    at = _object_start(body) if opened_at is None else opened_at
    if at < 0:
        return []
    candidates = [match for match in _candidates(body, key) if match.start() > at]
    if len(candidates) <= _FEW:
        try:
            return [match.end() for match in candidates if _is_level(body, match.start(), at)]
        except RecursionError:
            pass  # nested too deeply to be decoded, not to be scanned
    levels = _scan(body, at)
    return [match.end() for match in candidates if match.start() in levels]


def _scan(body: bytes, at: int) -> set[int]:
    """Return where strings begin at the own level of the object at `at`: one pass, for many keys.

    Checking each of many candidates against its prefix would take quadratic time.
    """
    found: set[int] = set()
    depth = 0
    for match in _STRUCTURE.finditer(body, at):
        mark = match.group()
        if mark in _OPENING:
            depth += 1
        elif mark in _CLOSING:
            depth -= 1
            if depth == 0:
                break
        elif depth == 1:
            found.add(match.start())
    return found


def _string_end(body: bytes, start: int) -> int:
    """Return the offset after the string that begins at `start`, -1 if no string does."""
    match = _WHOLE_STRING.match(body, start)
    return match.end() if match is not None else -1


def string_spans(body: bytes, path: tuple[str, ...]) -> list[tuple[int, int]]:
    """Return where the string values at a path of one or two keys stand; [] if there are none."""
    levels = [None] if len(path) == 1 else values_of(body, path[0])
    spans = []
    for opened_at in levels:
        if opened_at is not None and body[opened_at : opened_at + 1] != b"{":
            continue
        for start in values_of(body, path[-1], opened_at):
            end = _string_end(body, start)
            if end > 0:
                spans.append((start, end))
    return spans


def replace_string(body: bytes, path: tuple[str, ...], new: str) -> bytes:
    """Return the body with the string at `path` replaced, at every place where the path occurs.

    A key that is there twice is replaced twice, so that no parser can see another value. The body
    comes back unchanged if the path leads to no string.
    """
    value = _encode(new)
    for start, end in reversed(string_spans(body, path)):
        body = body[:start] + value + body[end:]
    return body


def set_top_level(body: bytes, key: str, raw_value: bytes) -> bytes:
    """Return the object with `key` set to a raw JSON value: in place, or as its first member."""
    starts = values_of(body, key)
    for start in reversed(starts):
        end = _value_end(body, start)
        body = body[:start] + raw_value + body[end:]
    if starts:
        return body
    brace = _object_start(body)
    if brace < 0:
        return body
    is_empty = body[brace + 1 :].lstrip(b" \t\r\n").startswith(b"}")
    member = _encode(key) + b":" + raw_value + (b"" if is_empty else b",")
    return body[: brace + 1] + member + body[brace + 1 :]


def _value_end(body: bytes, start: int) -> int:
    """Return the offset after the JSON value that begins at `start` (the body is valid JSON)."""
    if body[start : start + 1] not in _OPENING:
        scalar: Any = _SCALAR.match(body, start)
        return int(scalar.end())
    depth = 0
    for match in _STRUCTURE.finditer(body, start):
        mark = match.group()
        if mark in _OPENING:
            depth += 1
        elif mark in _CLOSING:
            depth -= 1
            if depth == 0:
                return match.end()
    raise ValueError("the value does not end: the body is not valid JSON")


def duplicate_keys(body: bytes, key: str) -> bool:
    """Whether a top-level key is there more than once."""
    # Most bodies name it once, and spell no letter of a key as \\u006x or \\u007x.
    if body.count(b'"%b"' % key.encode()) < 2 and b"\\u00" not in body:
        return False
    return len(values_of(body, key)) > 1
