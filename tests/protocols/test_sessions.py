"""What a body says about its conversation, in the odd shapes that clients send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sub2api.model.routes import Wire
from sub2api.protocols.sessions import OPENING, SIGNS, Sign

BILLING = "x-anthropic-billing-header: cc_version=2.1.330.{}; cc_entrypoint=cli;"
HI = [{"role": "user", "content": "hi"}]


def sign(wire: Wire, body: Any) -> Sign | None:
    return SIGNS[wire](body if isinstance(body, bytes) else json.dumps(body).encode())


def text_of(wire: Wire, body: Any) -> bytes:
    found = sign(wire, body)
    assert found is not None
    assert found.source == OPENING
    return found.value


@pytest.mark.parametrize("wire", list(Wire))
@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        7,
        b"",
        b"{",
        b'{"messages":"\xff"}',
        b"[" * 5000,
        b'{"messages":' + b"[" * 5000,
        {"messages": {}, "input": {}, "contents": 3, "system": 5},
        {"messages": [], "input": [], "contents": []},
        {"messages": [None, 3, "a"], "input": [[]], "contents": [""]},
        {"messages": [{"role": "user", "content": " \n "}], "input": " ", "system": ""},
        {"contents": [{"parts": [{"text": ""}, {"text": None}, {}, 3]}]},
        {"prompt_cache_key": " ", "metadata": {"user_id": " "}, "session_id": ""},
        {"prompt_cache_key": 5, "metadata": "x", "request": 4, "session_id": {}},
        {"metadata": {"user_id": '{"session_id":5}'}},
        {"metadata": {"user_id": "{"}},
        {"metadata": {"user_id": "user_ab_account__session_"}},
    ],
)
def test_a_body_without_ids_and_text_says_nothing(wire: Wire, body: Any) -> None:
    assert sign(wire, body) is None


@pytest.mark.parametrize("wire", [Wire.MESSAGES, Wire.CHAT, Wire.RESPONSES])
def test_ids_count_even_if_the_rest_has_no_known_shape(wire: Wire) -> None:
    odd = {"messages": 5, "input": {"a": 1}, "prompt_cache_key": "k"}
    assert sign(wire, odd) == Sign("prompt_cache_key", b"k")


@pytest.mark.parametrize("name", ["session_id", "sessionId"])
def test_a_code_assist_id_counts_even_if_the_rest_has_no_known_shape(name: str) -> None:
    inside = {"contents": 5, "request": {"contents": 5, name: "s"}, "session_id": "t"}
    assert sign(Wire.GEMINI, inside) == Sign("request.session_id", b"s")
    assert sign(Wire.GEMINI, {"contents": 5, name: "s"}) == Sign("session_id", b"s")


def test_prompt_cache_key_comes_before_the_user_id_and_that_before_a_conversation() -> None:
    body: dict[str, Any] = {"conversation": "conv_1", "input": "hi"}
    assert sign(Wire.RESPONSES, body) == Sign("conversation", b"conv_1")
    body["metadata"] = {"user_id": "user_ab_account__session_s-1"}
    assert sign(Wire.RESPONSES, body) == Sign("metadata.user_id", b"s-1")
    body["prompt_cache_key"] = "k"
    assert sign(Wire.RESPONSES, body) == Sign("prompt_cache_key", b"k")


@pytest.mark.parametrize(
    "user_id", ["customer-4711", "user_ab", "a_session_b", '{"device_id":"d"}']
)
def test_a_user_id_without_a_session_is_none(user_id: str) -> None:
    body = {"metadata": {"user_id": user_id}, "messages": HI}
    assert text_of(Wire.MESSAGES, body) == b"uhi"


def test_claude_codes_changing_line_is_left_out_as_a_block_or_joined_to_the_prompt() -> None:
    prompt = {"type": "text", "text": "Be brief."}
    for system in (
        [{"type": "text", "text": BILLING.format("a")}, prompt],
        [{"type": "text", "text": BILLING.format("b")}, prompt],
        BILLING.format("c") + "\nBe brief.",
        "Be brief.",
    ):
        assert text_of(Wire.MESSAGES, {"system": system, "messages": HI}) == b"sBe brief.\0uhi"
    long = "Be brief. " * 9000
    joined = [BILLING.format(version) + "\n" + long for version in ("a", "bb")]
    assert len({text_of(Wire.MESSAGES, {"system": each, "messages": HI}) for each in joined}) == 1


def test_a_setup_text_of_the_clients_own_does_not_hide_the_prompt() -> None:
    setup = {"role": "user", "content": "The working directory is /app."}
    one, other = (
        text_of(Wire.CHAT, {"messages": [setup, {"role": "user", "content": prompt}]})
        for prompt in ("Fix it.", "Explain it.")
    )
    assert one != other


def test_a_chat_in_which_nobody_answers_keeps_its_name_from_the_fourth_message_on() -> None:
    said = [{"role": "user", "content": f"line {number}"} for number in range(12)]
    assert text_of(Wire.CHAT, {"messages": said}) == text_of(Wire.CHAT, {"messages": said[:4]})


def test_a_greeting_before_the_first_message_and_later_system_messages_are_left_out() -> None:
    greeting = {"role": "assistant", "content": "Hello!"}
    later = {"role": "system", "content": "It is 12:01 now."}
    said = {"messages": [greeting, *HI, later]}
    assert text_of(Wire.CHAT, said) == b"uhi"


def test_tool_results_and_unknown_items_end_an_opening() -> None:
    later = {"role": "user", "content": "more"}
    for other in ({"type": "function_call", "call_id": "c"}, {"role": 5}, None):
        assert text_of(Wire.RESPONSES, {"input": [*HI, other, later]}) == b"uhi"


@pytest.mark.parametrize("text", ["word \n" * 20_000, "ü" * 20_000])
def test_a_long_text_counts_by_its_ends_and_its_length(text: str) -> None:
    def value(said: Any) -> bytes:
        return text_of(Wire.MESSAGES, {"messages": [{"role": "user", "content": said}]})

    assert len(value(text)) < 40_000
    assert value(text) == value([{"type": "text", "text": text}])
    assert len({value(text), value(text + "!"), value("!" + text), value(text[:-6])}) == 4
    assert value(text[:-1] + "a") != value(text[:-1] + "b")


def test_files_count_by_what_they_are_and_not_by_their_cache_mark() -> None:
    def value(data: str, **mark: Any) -> bytes:
        source = {"type": "base64", "media_type": "image/png", "data": data}
        part = {"type": "image", "source": source, **mark}
        return text_of(Wire.MESSAGES, {"messages": [{"role": "user", "content": [part]}]})

    assert value("QUJD") == value("QUJD", cache_control={"type": "ephemeral"})
    large = "QUJD" * 20_000
    assert len(value(large)) < 40_000
    assert len({value("QUJD"), value("QUJE"), value(large), value(large + "QUJD")}) == 4


def test_a_part_that_says_nothing_is_none() -> None:
    body = {"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text"}, None]}]}
    assert sign(Wire.MESSAGES, body) is None


def test_going_on_from_a_response_has_no_opening() -> None:
    body = {"instructions": "Be brief.", "input": "more", "previous_response_id": "resp_1"}
    assert sign(Wire.RESPONSES, body) is None
    assert sign(Wire.RESPONSES, {**body, "previous_response_id": None}) is not None


def test_only_the_first_dozen_turns_and_parts_are_looked_at() -> None:
    parts = [{"type": "text", "text": f"part {number}"} for number in range(13)]
    many = {"messages": [{"role": "user", "content": parts}]}
    assert text_of(Wire.CHAT, many).endswith(b"part 11")
    rules = [{"role": "system", "content": f"rule {number}"} for number in range(12)]
    assert text_of(Wire.CHAT, {"messages": [*rules, *HI]}).endswith(b"rule 11")
