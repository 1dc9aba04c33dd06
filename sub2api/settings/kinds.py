"""Kinds of values: how each is written in YAML and in the environment, and which are allowed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Kind:
    """`name` stands in the manual, `rule` in refusals: "... must be {rule}".

    `read` takes what YAML or the environment gave (text, in the latter case) and returns the
    value; it raises ValueError, TypeError or KeyError for what the rule forbids.
    """

    name: str
    rule: str
    read: Callable[[Any], Any]


_SWITCH_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def _text(given: Any) -> str:
    # YAML reads 0123 and no as a number and a switch: text that looks so must be quoted.
    if not isinstance(given, str):
        raise TypeError
    return given.strip()


def _switch(given: Any) -> bool:
    return given if isinstance(given, bool) else _SWITCH_WORDS[_word(given)]


def _word(given: Any) -> str:
    return str(given).strip().lower()


def _list(given: Any) -> tuple[str, ...]:
    items = given.split(",") if isinstance(given, str) else given
    if not isinstance(items, list | tuple):
        raise TypeError
    return tuple(text for each in items if (text := _text(each)))


def _addresses(given: Any) -> tuple[str, ...]:
    items = _list(given)
    for each in items:
        ipaddress.ip_network(each, strict=False)
    return items


def _path(given: Any) -> Path:
    return Path(_text(str(given) if isinstance(given, Path) else given)).expanduser().absolute()


def _timezone(given: Any) -> str:
    name = _text(given)
    if name == "UTC":  # must work on machines that have no time zone files
        return name
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, OSError):
        raise ValueError(name) from None


def _hex_key(given: Any) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", _text(given)):
        raise ValueError
    return _text(given).lower()


TEXT = Kind("text", "text (in quotes)", _text)
SWITCH = Kind("switch", "true or false", _switch)
LIST = Kind("list", "a list, or text with commas between its items", _list)
ADDRESSES = Kind("list of addresses", "a list of IP addresses or networks", _addresses)
PATH = Kind("path", "a path (in quotes)", _path)
TIMEZONE = Kind("time zone", "an IANA time zone such as Europe/Berlin", _timezone)
HEX_KEY = Kind("key", "exactly 64 hex digits (in quotes)", _hex_key)


def one_of(*words: str, **aliases: str) -> Kind:
    """One of some words, whatever their case; an alias is read as the word it stands for."""
    meanings = dict(zip(words, words, strict=True)) | aliases
    allowed = f"{', '.join(meanings)}" if len(meanings) > 2 else " or ".join(meanings)
    return Kind(" \\| ".join(meanings), f"one of {allowed}", lambda given: meanings[_word(given)])


def whole(low: int, high: int) -> Kind:
    """A whole number from `low` to `high`."""

    def read(given: Any) -> int:
        if isinstance(given, bool | float):
            raise TypeError
        return _within(int(given), low, high)

    return Kind(f"number, {low} to {high}", f"a whole number from {low} to {high}", read)


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(low: float, high: float = 86_400.0) -> Kind:
    """A duration in seconds: a number, or text such as 90s, 2m, 1m30s."""

    def read(given: Any) -> float:
        if isinstance(given, bool):
            raise TypeError
        return _within(_duration(_word(given)), low, high)

    rule = f"a duration such as 90, 90s, 2m or 1m30s, from {low:g} to {high:g} seconds"
    return Kind(f"duration, {low:g} s or more", rule, read)


def _duration(text: str) -> float:
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        raise ValueError(text)
    if len(parts) > 1 and any(part.group(2) is None for part in parts):
        raise ValueError(text)
    return sum(float(part.group(1)) * _SECONDS[part.group(2)] for part in parts)


_SIZE = re.compile(r"(\d+)\s*(?:(b)|([kmg])(?:i?b)?)?")
_BYTES = {None: 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def size(low: int, high: int) -> Kind:
    """A size in bytes: a number, or text such as 64MB (a KB is 1024 bytes here)."""

    def read(given: Any) -> int:
        match = None if isinstance(given, bool) else _SIZE.fullmatch(_word(given))
        if match is None:
            raise ValueError
        return _within(int(match.group(1)) * _BYTES[match.group(3)], low, high)

    return Kind("size", f"a size such as 65536 or 64MB, from {low} to {high} bytes", read)


def _within(value: Number, low: float, high: float) -> Number:
    if not low <= value <= high:
        raise ValueError
    return value
