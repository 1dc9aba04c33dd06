"""Streams of every wire: relayed byte for byte at every split, and understood."""

from __future__ import annotations

import re

import pytest

from sub2api.model.routes import Wire
from sub2api.model.tokens import Tokens
from sub2api.protocols.dialects import DIALECTS
from sub2api.protocols.interface import StreamOptions, StreamState
from tests.protocols.golden import relay, splits, stream_of

FINISHED, FAILED, OPEN = StreamState.FINISHED, StreamState.FAILED, StreamState.OPEN
OPENAI_IN = {"cache_read": 30, "cache_write": 7, "cache_write_long": 4, "input_audio": 5}
CASES = [
    ("messages", "text", FINISHED, "msg_01Golden",
     Tokens(input=25, output=15, cache_read=3000, cache_write=1000, cache_write_long=500)),
    ("messages", "thinking_tools", FINISHED, "msg_01Golden",
     Tokens(input=100, output=40, web_searches=2, service_tier="priority")),
    ("messages", "late_usage", FINISHED, "msg_01Golden", Tokens(input=50, output=9, cache_read=23)),
    ("messages", "error", FAILED, "msg_01Golden", Tokens(input=25, output=1)),
    ("chat", "text", FINISHED, "chatcmpl-G",
     Tokens(input=50, output=47, **OPENAI_IN, input_image=4, output_audio=3, reasoning=20,
            service_tier="flex")),
    ("chat", "deepseek", FINISHED, "ds", Tokens(input=6, output=2, cache_read=4)),
    ("chat", "error", FAILED, "chatcmpl-G", None),
    ("responses", "text", FINISHED, "resp_G",
     Tokens(input=90, output=33, cache_read=20, cache_write=6, cache_write_long=4, reasoning=12,
            service_tier="priority")),
    ("responses", "failed", FAILED, "resp_G", None),
    ("responses", "error", FAILED, "", None),
    ("responses", "incomplete", FINISHED, "resp_G",
     Tokens(input=90, output=33, cache_read=20, cache_write=6, cache_write_long=4, reasoning=12)),
    ("gemini", "text", FINISHED, "rG",
     Tokens(input=63, output=71, cache_read=20, input_audio=15, input_image=10, output_image=9,
            reasoning=30)),
    ("gemini", "blocked", FINISHED, "", Tokens(input=4)),
    ("gemini", "error", FAILED, "rG", None),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "name", "state", "response_id", "tokens"), CASES)
def test_a_stream_is_relayed_byte_for_byte_and_understood_at_every_split(
    wire: str, name: str, state: StreamState, response_id: str, tokens: Tokens | None
) -> None:
    stream = stream_of(wire, name)
    for parts in splits(stream):
        out, facts = relay(DIALECTS[Wire(wire)], parts)
        assert out == stream
        assert facts.state is state
        assert facts.response_id == response_id
        assert (facts.usage.tokens if facts.usage else None) == tokens


MODELS = {
    "messages": "claude-sonnet-4-5-20250929",
    "chat": "gpt-5.1-2025-11-13",
    "responses": "gpt-5.1-2025-11-13",
    "gemini": "gemini-2.5-flash",
}


@pytest.mark.parametrize("wire", list(MODELS))
def test_a_renamed_model_is_restored_and_nothing_else_changes(wire: str) -> None:
    stream = stream_of(wire, "text")
    old = MODELS[wire].encode()
    key = b"modelVersion" if wire == "gemini" else b"model"
    # Only real keys: the text of one golden stream quotes the key and the name, escaped.
    pattern = re.compile(rb'(?<!\\)"' + key + rb'"(: ?)"' + re.escape(old) + rb'"')
    expected = pattern.sub(rb'"' + key + rb'"\1"my-model"', stream)
    assert expected != stream
    options = StreamOptions(client_model="my-model", upstream_model=MODELS[wire])
    for parts in splits(stream):
        out, facts = relay(DIALECTS[Wire(wire)], parts, options)
        assert out == expected
        assert facts.model == MODELS[wire]


def test_only_the_usage_chunk_is_dropped_when_the_client_did_not_ask() -> None:
    stream = stream_of("chat", "text")
    usage_chunk = next(part + b"\n\n" for part in stream.split(b"\n\n") if b'"choices":[]' in part)
    options = StreamOptions(drop_usage=True)
    for parts in splits(stream):
        out, facts = relay(DIALECTS[Wire.CHAT], parts, options)
        assert out == stream.replace(usage_chunk, b"")
        assert facts.usage is not None
    kept = stream_of("chat", "deepseek")
    assert relay(DIALECTS[Wire.CHAT], [kept], options)[0] == kept


@pytest.mark.parametrize("wire", ["messages", "chat", "responses", "gemini"])
def test_a_stream_that_breaks_off_is_still_open(wire: str) -> None:
    stream = stream_of(wire, "text")
    half = stream[: stream.index(b"\n\n" if wire != "gemini" else b"\r\n\r\n") + 4]
    _, facts = relay(DIALECTS[Wire(wire)], [half])
    assert facts.state is OPEN


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        ("messages", {"type": "overloaded_error", "message": "Overloaded"}),
        ("gemini", {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}),
    ],
)
def test_the_vendors_error_object_is_kept(wire: str, error: dict[str, object]) -> None:
    _, facts = relay(DIALECTS[Wire(wire)], [stream_of(wire, "error")])
    assert facts.error == error


def test_content_is_noticed_when_it_begins() -> None:
    for wire in Wire:
        reader = DIALECTS[wire].open_stream(StreamOptions())
        assert not reader.facts.produced
        reader.feed(stream_of(wire.value, "text"))
        assert reader.facts.produced


def test_a_messages_event_in_two_data_lines_is_left_as_it_is() -> None:
    raw = (
        b'event: message_start\ndata: {"type":"message_start","message":\ndata: {"model":"a"}}\n\n'
    )
    reader = DIALECTS[Wire.MESSAGES].open_stream(StreamOptions(client_model="b"))
    assert reader.feed(raw) == raw


def test_only_the_first_end_of_a_stream_counts() -> None:
    for wire, ends in {
        Wire.MESSAGES: (b'data: {"type":"message_stop"}\n\n', b'data: {"type":"error"}\n\n'),
        Wire.CHAT: (b"data: [DONE]\n\n", b'data: {"error":"late"}\n\n'),
        Wire.RESPONSES: (
            b'data: {"type":"response.completed","response":{}}\n\n',
            b'data: {"type":"error"}\n\n',
        ),
        Wire.GEMINI: (
            b'data: {"candidates":[{"finishReason":"STOP"}]}\n\n',
            b'data: {"error":{}}\n\ndata: {"error":{"code":1}}\n\n',
        ),
    }.items():
        reader = DIALECTS[wire].open_stream(StreamOptions())
        reader.feed(b"".join(ends))
        assert reader.facts.state is FINISHED


def test_odd_shapes_inside_events_are_survived() -> None:
    odd = [
        b'data: {"type":"message_delta","usage":[]}\n\n',
        b'data: {"type":"message_start","message":"x"}\n\n',
        b'data: {"id":"1","choices":[7],"usage":"x","error":null}\n\n',
        b'data: {"choices":{"a":1},"candidates":[null]}\n\n',
        b'data: {"usageMetadata":{"promptTokensDetails":[1,{"modality":"AUDIO"}]}}\n\n',
        b'data: {"candidates":{}}\n\n: only a comment error\n\ndata: \n\n',
        b'data: not json "usage"\n\n',
    ]
    for wire in Wire:
        reader = DIALECTS[wire].open_stream(StreamOptions())
        assert b"".join(reader.feed(block) for block in odd) == b"".join(odd)
        assert reader.facts.state is OPEN


def test_thinking_tokens_are_counted() -> None:
    usage = b'{"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}'
    reply = DIALECTS[Wire.MESSAGES].read_reply(b'{"usage": ' + usage + b"}")
    assert reply.usage is not None
    assert (reply.usage.tokens.output, reply.usage.tokens.reasoning) == (9, 4)


def test_a_chat_stream_may_begin_with_a_chunk_that_says_nothing() -> None:
    reader = DIALECTS[Wire.CHAT].open_stream(StreamOptions())
    reader.feed(b'data: {"id":"c1","choices":[]}\n\n')
    assert not reader.facts.produced
    ordinary = b'data: {"id":"c1","choices":[{"delta":{"content":"x"},"finish_reason":null}]}\n\n'
    assert reader.feed(ordinary) is ordinary
    assert reader.facts.produced
    assert reader.facts.state is OPEN
