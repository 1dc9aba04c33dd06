from __future__ import annotations

from pathlib import Path

import pytest

from sub2api.settings.kinds import (
    ADDRESSES,
    HEX_KEY,
    LIST,
    PATH,
    SWITCH,
    TEXT,
    TIMEZONE,
    Kind,
    one_of,
    seconds,
    size,
    whole,
)

MODE = one_of("debug", "release", live="release")
COUNT = whole(1, 100)
DURATION = seconds(0.5, 7200)
SIZE = size(1, 2**30)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (TEXT, " a b ", "a b"),
        (SWITCH, True, True),
        (SWITCH, "TRUE", True),
        (SWITCH, "on", True),
        (SWITCH, 0, False),
        (SWITCH, "no", False),
        (LIST, "a, b,,c ", ("a", "b", "c")),
        (LIST, ["a", " b "], ("a", "b")),
        (LIST, [], ()),
        (ADDRESSES, "10.0.0.0/8,::1", ("10.0.0.0/8", "::1")),
        (PATH, "/var/lib/x", Path("/var/lib/x")),
        (PATH, Path("/x"), Path("/x")),
        (PATH, "relative", Path.cwd() / "relative"),
        (PATH, "~/x", Path.home() / "x"),
        (TIMEZONE, "UTC", "UTC"),
        (TIMEZONE, "Asia/Shanghai", "Asia/Shanghai"),
        (HEX_KEY, "AB" * 32, "ab" * 32),
        (MODE, " Release", "release"),
        (MODE, "live", "release"),
        (COUNT, 1, 1),
        (COUNT, "100", 100),
        (DURATION, 90, 90.0),
        (DURATION, 0.5, 0.5),
        (DURATION, "1.5", 1.5),
        (DURATION, "120s", 120.0),
        (DURATION, "2m", 120.0),
        (DURATION, "1m30s", 90.0),
        (DURATION, "1h", 3600.0),
        (DURATION, "750ms", 0.75),
        (SIZE, 65536, 65536),
        (SIZE, "65536", 65536),
        (SIZE, "64MB", 64 * 2**20),
        (SIZE, "64 MiB", 64 * 2**20),
        (SIZE, "1g", 2**30),
        (SIZE, "10B", 10),
    ],
)
def test_a_value_is_read_as_people_write_it(kind: Kind, given: object, value: object) -> None:
    read = kind.read(given)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (TEXT, 123),
        (TEXT, True),
        (TEXT, ["a"]),
        (SWITCH, "maybe"),
        (SWITCH, 2),
        (LIST, {"a": 1}),
        (LIST, [1]),
        (LIST, 5),
        (ADDRESSES, "10.0.0.0/8,example.org"),
        (ADDRESSES, "10.0.0.256"),
        (PATH, 5),
        (TIMEZONE, "Mars/Olympus"),
        (TIMEZONE, "../../etc/passwd"),
        (TIMEZONE, "Europe"),
        (TIMEZONE, ""),
        (HEX_KEY, "ab" * 31),
        (HEX_KEY, "zz" * 32),
        (HEX_KEY, 10**63),
        (MODE, "prod"),
        (MODE, 5),
        (COUNT, 0),
        (COUNT, 101),
        (COUNT, 1.5),
        (COUNT, True),
        (COUNT, "eight"),
        (COUNT, None),
        (DURATION, "soon"),
        (DURATION, "0.4"),
        (DURATION, "3h"),
        (DURATION, "1m30"),
        (DURATION, "1m 30s"),
        (DURATION, "-1"),
        (DURATION, ""),
        (DURATION, float("nan")),
        (DURATION, True),
        (SIZE, "0"),
        (SIZE, "2GB"),
        (SIZE, "1.5MB"),
        (SIZE, "MB"),
        (SIZE, True),
        (SIZE, None),
    ],
)
def test_anything_else_is_refused(kind: Kind, given: object) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        kind.read(given)


@pytest.mark.parametrize("kind", [TEXT, SWITCH, LIST, MODE, COUNT, DURATION, SIZE, HEX_KEY])
def test_a_kind_says_what_it_wants(kind: Kind) -> None:
    assert kind.name
    assert kind.rule


def test_a_rule_names_its_limits_and_its_words() -> None:
    assert COUNT.rule == "a whole number from 1 to 100"
    assert MODE.rule == "one of debug, release, live"
    assert one_of("a", "b").rule == "one of a or b"
