"""Which conversation a call belongs to: names that stay, and names that differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub2api.gateway.bodies import LARGE, outline
from sub2api.gateway.call import Call
from sub2api.gateway.routes import match
from sub2api.gateway.sessions import session_of, sign_of
from sub2api.protocols.dialects import DIALECTS

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "sessions"
CLIENTS = {path.stem: json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))}
CALLS = [(name, call["what"]) for name, client in CLIENTS.items() for call in client["calls"]]
PATHS = {
    "messages": "/v1/messages",
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/gemini-3.8-flash:generateContent",
}
ID_HEADERS = [
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "thread-id",
    "conversation-id",
    "conversation_id",
    "x-session-id",
    "x-session-affinity",
]


def call_of(path: str, body: bytes, headers: dict[str, str] | None = None) -> Call:
    fields = {name.encode(): value.encode() for name, value in (headers or {}).items()}
    asked = match("POST", path, [])
    return Call("c1", asked, "POST", b"", tuple(fields.items()), body, "::1", 0.0, fields, {})


def name_of(path: str, body: Any, headers: dict[str, str] | None = None, *, key_id: int = 7) -> str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    call = call_of(path, raw, headers)
    return session_of(call, raw, DIALECTS[call.match.wire], key_id=key_id)


def source_of(path: str, body: Any, headers: dict[str, str] | None = None) -> str:
    raw = json.dumps(body).encode()
    call = call_of(path, raw, headers)
    sign = sign_of(call, raw, DIALECTS[call.match.wire])
    return sign.source if sign else ""


def golden(client: str, what: str) -> dict[str, Any]:
    return next(call for call in CLIENTS[client]["calls"] if call["what"] == what)


def golden_name(client: str, what: str, *, key_id: int = 7) -> str:
    call = golden(client, what)
    return name_of(CLIENTS[client]["path"], call["body"], call["headers"], key_id=key_id)


@pytest.mark.parametrize(("client", "what"), CALLS)
def test_every_client_keeps_the_name_it_had_in_the_last_release(client: str, what: str) -> None:
    call = golden(client, what)
    assert golden_name(client, what) == call["name"]
    assert source_of(CLIENTS[client]["path"], call["body"], call["headers"]) == call["source"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_clients_conversation_keeps_its_name_and_two_have_two(client: str) -> None:
    for one, other in CLIENTS[client]["same"]:
        assert golden_name(client, one) == golden_name(client, other) != ""
    for one, other in CLIENTS[client]["different"]:
        assert golden_name(client, one) != golden_name(client, other)


@pytest.mark.parametrize(("client", "what"), CALLS)
def test_the_same_session_under_another_key_is_another(client: str, what: str) -> None:
    mine, theirs = golden_name(client, what), golden_name(client, what, key_id=8)
    assert mine == theirs == "" or mine.replace("7:", "8:", 1) == theirs


@pytest.mark.parametrize("count", range(1, len(ID_HEADERS) + 1))
def test_the_first_header_in_the_documented_order_wins(count: int) -> None:
    headers = {name: f"id-{name}" for name in ID_HEADERS[-count:]}
    body = {"prompt_cache_key": "k", "messages": [{"role": "user", "content": "hi"}]}
    source = source_of(PATHS["messages"], body, headers)
    assert source == f"header {ID_HEADERS[-count]}"


@pytest.mark.parametrize("header", ID_HEADERS)
def test_a_blank_header_is_passed_over(header: str) -> None:
    body = {"prompt_cache_key": "k"}
    assert source_of(PATHS["chat"], body, {header: "  "}) == "prompt_cache_key"


@pytest.mark.parametrize("header", ID_HEADERS)
def test_an_id_names_the_same_conversation_wherever_it_stood(header: str) -> None:
    expected = name_of(PATHS["responses"], {"prompt_cache_key": "u-1"})
    assert name_of(PATHS["responses"], {}, {header: " u-1 "}) == expected


def test_a_client_that_speaks_two_wires_has_a_binding_for_each() -> None:
    names = {name_of(path, {}, {"x-session-id": "ses_1"}) for path in PATHS.values()}
    assert len(names) == len(PATHS)


def test_embeddings_belong_to_no_conversation() -> None:
    assert name_of("/v1/embeddings", {"input": "hi"}, {"x-session-id": "ses_1"}) == ""


@pytest.mark.parametrize("sent", ["x" * 60_000, "7:{a}*?[b]\x7f", "größe", "../../etc"])
def test_what_a_client_sends_never_stands_in_a_name(sent: str) -> None:
    for name in (
        name_of(PATHS["chat"], {}, {"session-id": sent}),
        name_of(PATHS["chat"], {"prompt_cache_key": sent}),
        name_of(PATHS["chat"], {"messages": [{"role": "user", "content": sent}]}),
    ):
        key, _, digest = name.partition(":")
        assert (key, len(digest)) == ("7", 32)
        assert set(digest) <= set("0123456789abcdef")


async def test_the_outline_of_a_large_body_still_has_its_ids_and_short_texts() -> None:
    huge = [{"type": "text", "text": "Summarise."}, {"type": "text", "text": "x" * (LARGE + 1)}]
    body = {"messages": [{"role": "user", "content": huge}]}
    named = {**body, "prompt_cache_key": "u-1"}
    seen = await outline(json.dumps(named).encode())
    assert name_of(PATHS["chat"], seen) == name_of(PATHS["chat"], {"prompt_cache_key": "u-1"})
    brief = {"messages": [{"role": "user", "content": huge[:1]}]}
    seen = await outline(json.dumps(body).encode())
    assert name_of(PATHS["chat"], seen) == name_of(PATHS["chat"], brief)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            [
                "messages", "input", "contents", "parts", "content", "role", "text", "type",
                "system", "instructions", "systemInstruction", "request", "metadata", "user_id",
                "session_id", "sessionId", "prompt_cache_key", "conversation", "source",
                "previous_response_id", "cache_control", "inlineData", "image_url", "id",
            ]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS.values())
@given(value=json_values)
def test_no_json_makes_it_raise(path: str, value: Any) -> None:
    name = name_of(path, json.dumps(value).encode())
    assert name == "" or name.startswith("7:")


@pytest.mark.parametrize("path", PATHS.values())
@given(body=st.binary(max_size=200), header=st.binary(max_size=60))
def test_no_bytes_make_it_raise(path: str, body: bytes, header: bytes) -> None:
    call = call_of(path, body)
    call.fields[b"session-id"] = header
    name = session_of(call, body, DIALECTS[call.match.wire], key_id=7)
    assert name == "" or name.startswith("7:")


texts = st.text(min_size=1, max_size=40).filter(lambda text: bool(text.strip()))


def conversation(wire: str, system: str, said: list[str]) -> dict[str, Any]:
    """A conversation in which user and model take turns."""
    if wire == "gemini":
        turns = [
            {"role": "model" if index % 2 else "user", "parts": [{"text": text}]}
            for index, text in enumerate(said)
        ]
        return {"systemInstruction": {"parts": [{"text": system}]}, "contents": turns}
    turns = [
        {"role": "assistant" if index % 2 else "user", "content": text}
        for index, text in enumerate(said)
    ]
    if wire == "messages":
        return {"system": system, "messages": turns}
    if wire == "chat":
        return {"messages": [{"role": "system", "content": system}, *turns]}
    return {"instructions": system, "input": turns}


@pytest.mark.parametrize("wire", PATHS)
@given(system=texts, said=st.lists(texts, min_size=1, max_size=30))
def test_a_growing_conversation_keeps_its_name(wire: str, system: str, said: list[str]) -> None:
    first = name_of(PATHS[wire], conversation(wire, system, said[:1]))
    assert first
    assert name_of(PATHS[wire], conversation(wire, system, said)) == first


@pytest.mark.parametrize("wire", PATHS)
@given(system=texts, one=texts, other=texts)
def test_another_first_message_is_another_conversation(
    wire: str, system: str, one: str, other: str
) -> None:
    names = {name_of(PATHS[wire], conversation(wire, system, [said])) for said in (one, other)}
    assert len(names) == (1 if one == other else 2)


@given(sent=texts, one=st.integers(min_value=1), other=st.integers(min_value=1))
def test_names_belong_to_one_key(sent: str, one: int, other: int) -> None:
    body = {"prompt_cache_key": sent}
    mine = name_of(PATHS["chat"], body, key_id=one)
    assert (mine == name_of(PATHS["chat"], body, key_id=other)) is (one == other)
    assert mine.startswith(f"{one}:")
