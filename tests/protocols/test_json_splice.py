"""Replacing values in raw JSON: the value changes, nothing else does."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub2api.protocols.json_splice import (
    duplicate_keys,
    replace_string,
    set_top_level,
    string_spans,
    values_of,
)

KEYS = st.sampled_from(["model", "a", "message", "mo", 'mo"del', "model "])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just('"model": "x"'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
BODIES = st.dictionaries(KEYS, VALUES, max_size=5)


@given(BODIES, st.text(max_size=10), st.sampled_from([None, 2]))
def test_only_the_top_level_value_changes(body: dict, new: str, indent: int | None) -> None:
    raw = json.dumps(body, indent=indent).encode()
    expected = dict(body)
    if isinstance(body.get("model"), str):
        expected["model"] = new
    assert json.loads(replace_string(raw, ("model",), new)) == expected


@given(BODIES, VALUES)
def test_setting_a_member_sets_it_and_nothing_else(body: dict, value: object) -> None:
    raw = json.dumps(body).encode()
    changed = set_top_level(raw, "model", json.dumps(value).encode())
    assert json.loads(changed) == {**body, "model": value}


def test_a_nested_path_is_followed_one_level_down() -> None:
    raw = b'{"model":"keep","message":{"x":[{"model":"keep"}],"model":"old"},"z":{"model":"keep"}}'
    assert replace_string(raw, ("message", "model"), "new") == raw.replace(b'"old"', b'"new"')
    assert replace_string(b'{"message":[1]}', ("message", "model"), "new") == b'{"message":[1]}'


def test_a_key_written_with_escapes_is_found() -> None:
    raw = b'{"mod\\u0065l":"old"}'
    assert replace_string(raw, ("model",), "new") == b'{"mod\\u0065l":"new"}'


def test_a_key_that_is_there_twice_is_replaced_twice_and_noticed() -> None:
    raw = b'{"model":"a","x":1, "model" : "b"}'
    assert duplicate_keys(raw, "model")
    assert replace_string(raw, ("model",), "c") == b'{"model":"c","x":1, "model" : "c"}'
    assert not duplicate_keys(b'{"model":"a","tools":[{"model":1}]}', "model")


def test_many_keys_of_the_name_are_sorted_out_in_one_pass() -> None:
    inner = b",".join(b'{"model":{"model":"x"}}' for _ in range(50))
    raw = b' {"l":[' + inner + b'],"model":"old"} '
    assert len(values_of(raw, "model")) == 1
    assert replace_string(raw, ("model",), "new") == raw.replace(b'"old"', b'"new"')


@pytest.mark.parametrize("raw", [b"[1]", b"", b"nonsense", b'"model"'])
def test_what_is_no_object_comes_back_unchanged(raw: bytes) -> None:
    assert replace_string(raw, ("model",), "new") == raw
    assert set_top_level(raw, "model", b"1") == raw
    assert string_spans(raw, ("model",)) == []


def test_a_value_that_is_no_string_is_left() -> None:
    raw = b'{"model":12}'
    assert replace_string(raw, ("model",), "new") == raw


def test_a_member_before_which_the_text_is_broken_is_not_taken() -> None:
    raw = b'{"a" "model":"x"}'
    assert replace_string(raw, ("model",), "new") == raw
    raw = b'{"a":1,, "model":"x"}'
    assert replace_string(raw, ("model",), "new") == raw


def test_setting_a_member_of_a_broken_body_says_so() -> None:
    with pytest.raises(ValueError, match="does not end"):
        set_top_level(b'{"store":[1', "store", b"true")


def test_many_keys_in_a_body_that_breaks_off_are_survived() -> None:
    raw = b'{"model":"a",' + b'"x":{"model":"b"},' * 20
    assert replace_string(raw, ("model",), "c") == raw.replace(b'"a"', b'"c"')


def test_setting_replaces_objects_lists_and_scalars() -> None:
    for old in (b'{"a":[1,"}"]}', b"[1,[2]]", b"null", b'"s\\""', b"-1.5e3"):
        raw = b'{"x":1,"store":' + old + b',"y":2}'
        assert set_top_level(raw, "store", b"true") == b'{"x":1,"store":true,"y":2}'
