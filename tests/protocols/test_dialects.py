"""Peeks, whole replies and refusals of every wire."""

from __future__ import annotations

import json

import pytest

from sub2api.errors import (
    INVALID,
    NO_PREVIOUS_RESPONSE,
    OVERLOADED,
    RATE_LIMITED,
    UNAUTHENTICATED,
    ClientError,
)
from sub2api.model.routes import Operation, Wire
from sub2api.model.tokens import Tokens
from sub2api.protocols.chat.usage_option import ask_for_usage
from sub2api.protocols.dialects import DIALECTS
from sub2api.protocols.openai_usage import usage_of
from sub2api.protocols.responses.history import keep_history
from sub2api.protocols.sse import events

GENERATE = Operation.GENERATE
MESSAGES, RESPONSES = DIALECTS[Wire.MESSAGES], DIALECTS[Wire.RESPONSES]
CHAT, GEMINI = DIALECTS[Wire.CHAT], DIALECTS[Wire.GEMINI]


def body(**members: object) -> bytes:
    return json.dumps(members).encode()


def test_messages_are_peeked() -> None:
    peek = MESSAGES.peek(body(model="m", stream=True, max_tokens=5), GENERATE, "")
    assert (peek.model, peek.stream, peek.max_output) == ("m", True, 5)
    assert not MESSAGES.peek(body(model="m", stream=True), Operation.COUNT_TOKENS, "").stream


def test_chat_is_peeked() -> None:
    peek = CHAT.peek(body(model="m", max_completion_tokens=7, max_tokens=5), GENERATE, "")
    assert (peek.max_output, peek.wants_usage) == (7, True)
    assert not CHAT.peek(body(model="m", stream=True), GENERATE, "").wants_usage
    wanted = body(model="m", stream=True, stream_options={"include_usage": True})
    assert CHAT.peek(wanted, GENERATE, "").wants_usage


def test_embeddings_need_an_input() -> None:
    assert CHAT.peek(body(model="e", input="x", stream="?"), Operation.EMBED, "").model == "e"
    with pytest.raises(ClientError, match="input is required"):
        CHAT.peek(body(model="e"), Operation.EMBED, "")


def test_gemini_is_peeked_in_both_spellings() -> None:
    for config in ({"generationConfig": {"maxOutputTokens": 9}},
                   {"generation_config": {"max_output_tokens": 9}}):  # fmt: skip
        peek = GEMINI.peek(body(**config), GENERATE, "models/g")
        assert (peek.model, peek.max_output) == ("g", 9)
    assert GEMINI.peek(body(generationConfig=[1]), GENERATE, "g").max_output is None
    with pytest.raises(ClientError, match="must name a model"):
        GEMINI.peek(b"{}", GENERATE, "models/")


def test_responses_know_what_they_are_bound_to() -> None:
    peek = RESPONSES.peek(
        body(model="m", previous_response_id="resp_1", conversation={"id": "conv_1"}, store=False),
        GENERATE,
        "",
    )
    assert peek.bound_ids == ("resp_1", "conv_1")
    assert not peek.stores
    assert RESPONSES.peek(body(model="m", conversation="c"), GENERATE, "").bound_ids == ("c",)


OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "1"}


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([{"type": "function_call_output", "output": "1"}], "requires call_id"),
        ([{**OUTPUT, "call_id": " "}], "requires call_id"),
        ([OUTPUT], "requires item_reference ids"),
        ([OUTPUT, {"type": "item_reference", "id": "other"}], "requires item_reference ids"),
    ],
)
def test_a_tool_output_without_its_call_is_refused(items: list[object], said: str) -> None:
    with pytest.raises(ClientError, match=said):
        RESPONSES.peek(body(model="m", input=items), GENERATE, "")


@pytest.mark.parametrize(
    "members",
    [
        {"input": [OUTPUT], "previous_response_id": "resp_1"},
        {"input": [{"type": "function_call", "call_id": "c1"}, OUTPUT]},
        {"input": [OUTPUT, {"type": "item_reference", "id": "c1"}]},
        {"input": "please write function_call_output"},
        {"input": [{"type": "message", "content": "function_call_output"}]},
    ],
)
def test_a_tool_output_with_its_call_passes(members: dict[str, object]) -> None:
    assert RESPONSES.peek(body(model="m", **members), GENERATE, "").model == "m"


def test_history_is_kept_unless_the_client_says_otherwise() -> None:
    assert json.loads(keep_history(body(previous_response_id="r")))["store"] is True
    assert json.loads(keep_history(body(conversation="c", store=None)))["store"] is True
    for untouched in (body(previous_response_id="r", store=False), body(model="m"),
                      body(previous_response_id="r", store=True)):  # fmt: skip
        assert keep_history(untouched) == untouched


def test_usage_is_asked_for_and_other_options_stay() -> None:
    asked = json.loads(ask_for_usage(body(stream_options={"include_obfuscation": False})))
    assert asked["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert json.loads(ask_for_usage(b"{}"))["stream_options"] == {"include_usage": True}


def test_models_are_renamed_in_requests_and_restored_in_replies() -> None:
    raw = b'{ "model" : "old", "n": 1.0, "messages": [{"model": "old"}] }'
    for dialect in (MESSAGES, RESPONSES, CHAT):
        assert dialect.rename_model(raw, "new") == raw.replace(b'"old"', b'"new"', 1)
        assert dialect.restore_model(raw, "new") == raw.replace(b'"old"', b'"new"', 1)
    assert GEMINI.rename_model(raw, "new") == raw
    assert GEMINI.restore_model(b'{"modelVersion":"old"}', "new") == b'{"modelVersion":"new"}'


def test_whole_replies_are_read() -> None:
    facts = MESSAGES.read_reply(
        body(id="msg_1", model="m", usage={"input_tokens": 3, "output_tokens": 4, "speed": "fast"})
    )
    assert facts.usage is not None
    assert facts.usage.tokens == Tokens(input=3, output=4, service_tier="fast")
    facts = CHAT.read_reply(body(id="c", usage={"prompt_tokens": 8, "total_tokens": 8}))
    assert facts.usage is not None
    assert facts.usage.tokens == Tokens(input=8)
    facts = RESPONSES.read_reply(body(id="resp_1", usage={"input_tokens": 5, "output_tokens": 6}))
    assert facts.response_id == "resp_1"
    chunks = [
        {"usageMetadata": {"promptTokenCount": 1}},
        {"usageMetadata": {"promptTokenCount": 2}},
    ]
    facts = GEMINI.read_reply(json.dumps([*chunks, {}]).encode())
    assert facts.usage is not None
    assert facts.usage.tokens == Tokens(input=2)
    assert GEMINI.read_reply(body(modelVersion="g", responseId="r")).response_id == "r"
    assert GEMINI.read_reply(b"[]").usage is None


@pytest.mark.parametrize("wire", list(Wire))
@pytest.mark.parametrize("raw", [b"", b"<html>", b"[1", b'"x"', b"\xff"])
def test_a_reply_that_is_none_has_no_usage(wire: Wire, raw: bytes) -> None:
    assert DIALECTS[wire].read_reply(raw).usage is None


@pytest.mark.parametrize("wire", list(Wire))
def test_a_reply_without_usage_has_none(wire: Wire) -> None:
    assert DIALECTS[wire].read_reply(b'{"usage":7,"usageMetadata":[]}').usage is None


def test_cached_tokens_at_the_top_level_count() -> None:
    usage = usage_of({"prompt_tokens": 50, "completion_tokens": 1, "cached_tokens": 23})
    assert usage.tokens == Tokens(input=27, output=1, cache_read=23)


def test_cache_writes_without_their_split_are_short_lived() -> None:
    usage = usage_of({"input_tokens": 50, "input_tokens_details": {"cache_write_tokens": 10}})
    assert usage.tokens == Tokens(input=40, cache_write=10)
    anthropic = MESSAGES.read_reply(body(usage={"cache_creation_input_tokens": 10})).usage
    assert anthropic is not None
    assert anthropic.tokens == Tokens(cache_write=10)


@pytest.mark.parametrize("wire", list(Wire))
def test_refusals_have_the_shape_that_clients_read(wire: Wire) -> None:
    error = ClientError("no such thing", status=400, kind=INVALID, param="model")
    said = json.loads(DIALECTS[wire].refusal(error, "req_1"))
    expected = {
        Wire.MESSAGES: {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "no such thing"},
            "request_id": "req_1",
        },
        Wire.GEMINI: {
            "error": {"code": 400, "message": "no such thing", "status": "INVALID_ARGUMENT"}
        },
    }
    openai = {
        "error": {
            "message": "no such thing",
            "type": "invalid_request_error",
            "param": "model",
            "code": None,
        }
    }
    assert said == expected.get(wire, openai)


@pytest.mark.parametrize("kind", [INVALID, UNAUTHENTICATED, RATE_LIMITED, OVERLOADED])
@pytest.mark.parametrize("wire", list(Wire))
def test_an_error_event_fails_the_stream_it_ends(wire: Wire, kind: object) -> None:
    from sub2api.protocols.interface import StreamOptions, StreamState

    error = ClientError("broken", status=529, kind=kind)  # type: ignore[arg-type]
    said = DIALECTS[wire].error_event(error, "req_1")
    assert said.endswith(b"\n\n")
    reader = DIALECTS[wire].open_stream(StreamOptions())
    reader.feed(said)
    assert reader.facts.state is StreamState.FAILED


def test_a_failed_response_keeps_the_codes_that_codex_knows() -> None:
    def code_of(error: ClientError) -> str:
        failed = list(events(RESPONSES.error_event(error, "r")))[1]
        return str(json.loads(failed.data)["response"]["error"]["code"])

    assert code_of(ClientError("x", status=529, kind=OVERLOADED)) == "server_is_overloaded"
    assert code_of(ClientError("x", status=400, kind=NO_PREVIOUS_RESPONSE)) == "server_error"


def test_google_never_hears_529() -> None:
    error = ClientError("x", status=529, kind=OVERLOADED)
    assert json.loads(GEMINI.refusal(error, ""))["error"]["code"] == 503


def test_keep_alives_are_events_of_their_wire() -> None:
    assert next(events(MESSAGES.keep_alive)).name == b"ping"
    assert CHAT.keep_alive == RESPONSES.keep_alive == b": keep-alive\n\n"
    assert GEMINI.keep_alive == b""
