"""What the vendors are sent."""

from __future__ import annotations

import json

import pytest

from sub2api.model.accounts import Account
from sub2api.model.routes import Operation, Wire
from sub2api.platforms import BY_NAME, serving
from sub2api.platforms.interface import Outgoing

KEYS = {"anthropic": b"x-api-key", "openai": b"authorization", "gemini": b"x-goog-api-key"}


def account(platform: str, base_url: str = "") -> Account:
    return Account(id=1, name="a", platform=platform, api_key="up-key", base_url=base_url)  # type: ignore[arg-type]


def outgoing(wire: Wire, tail: str, **changes: object) -> Outgoing:
    fields: dict[str, object] = {
        "wire": wire, "operation": Operation.GENERATE, "method": "POST", "tail": tail,
        "version": "v1", "model": "m", "action": "", "query": b"", "headers": (),
        "stream": False, "wants_usage": True, **changes,
    }  # fmt: skip
    return Outgoing(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("platform", "wire", "tail", "url"),
    [
        ("anthropic", Wire.MESSAGES, "messages", "https://api.anthropic.com/v1/messages"),
        ("openai", Wire.RESPONSES, "responses", "https://api.openai.com/v1/responses"),
        ("gemini", Wire.GEMINI, "models/m:generateContent",
         "https://generativelanguage.googleapis.com/v1/models/m:generateContent"),
    ],
)  # fmt: skip
def test_calls_are_addressed_and_signed(platform: str, wire: Wire, tail: str, url: str) -> None:
    call = outgoing(wire, tail, action="generateContent", headers=((b"x-api-key", b"sk-ours"),))
    request = BY_NAME[platform].request(call, account(platform))  # type: ignore[index]
    assert request.url == url
    signed = [value for name, value in request.headers if name == KEYS[platform]]
    assert signed == [b"Bearer up-key" if platform == "openai" else b"up-key"]
    assert (b"content-type", b"application/json") in request.headers


def test_anthropic_versions_pass_as_sent_and_have_a_default() -> None:
    build = BY_NAME["anthropic"].request
    sent = build(
        outgoing(Wire.MESSAGES, "messages", headers=((b"anthropic-version", b"2026-10-21"),),
                 query=b"beta=true"),
        account("anthropic", "https://h/anthropic"),
    )  # fmt: skip
    assert (b"anthropic-version", b"2026-10-21") in sent.headers
    assert sent.url == "https://h/anthropic/v1/messages?beta=true"
    plain = build(outgoing(Wire.MESSAGES, "messages"), account("anthropic"))
    assert (b"anthropic-version", b"2023-06-01") in plain.headers


def test_chat_streams_always_ask_for_usage() -> None:
    call = outgoing(Wire.CHAT, "chat/completions", stream=True, wants_usage=False)
    edit = BY_NAME["openai"].edit(call)
    assert edit is not None
    assert json.loads(edit(b'{"stream":true}'))["stream_options"] == {"include_usage": True}
    assert BY_NAME["openai"].edit(outgoing(Wire.CHAT, "chat/completions", stream=True)) is None


def test_a_response_that_continues_history_is_stored_too() -> None:
    edit = BY_NAME["openai"].edit(outgoing(Wire.RESPONSES, "responses"))
    assert edit is not None
    body = json.loads(edit(b'{"previous_response_id":"r"}'))
    assert body == {"store": True, "previous_response_id": "r"}
    compact = outgoing(Wire.RESPONSES, "responses/compact", operation=Operation.COMPACT)
    assert BY_NAME["openai"].edit(compact) is None


@pytest.mark.parametrize(
    ("platform", "wire"), [("anthropic", Wire.MESSAGES), ("gemini", Wire.GEMINI)]
)
def test_other_bodies_pass_as_sent(platform: str, wire: Wire) -> None:
    assert BY_NAME[platform].edit(outgoing(wire, "x", stream=True)) is None  # type: ignore[index]


def test_geminis_model_in_the_path_cannot_leave_the_path() -> None:
    call = outgoing(Wire.GEMINI, "", model="a/../../x?y#z", action="generateContent", version="")
    url = BY_NAME["gemini"].request(call, account("gemini", "https://h")).url
    assert url.startswith("https://h/v1beta/models/a/")
    assert "?" not in url
    assert "#" not in url


@pytest.mark.parametrize("platform", ["anthropic", "openai", "gemini"])
def test_model_lists_are_asked_for_and_read(platform: str) -> None:
    vendor = BY_NAME[platform]  # type: ignore[index]
    request = vendor.models_request(account(platform, "http://127.0.0.1:1"))
    assert request.method == "GET"
    assert "/models" in request.url
    body = b'{"data":[{"id":"m"},7],"models":[{"name":"models/m"},{"name":3}]}'
    assert vendor.model_ids(body) == ["m"]
    assert vendor.model_ids(b"<html>") == []
    assert vendor.model_ids(b"[]") == []
    assert vendor.probe(account(platform), "m").body


def test_every_wire_has_a_vendor() -> None:
    assert {wire: [each.name for each in serving(wire)] for wire in Wire} == {
        Wire.MESSAGES: ["anthropic"],
        Wire.RESPONSES: ["openai"],
        Wire.CHAT: ["openai"],
        Wire.GEMINI: ["gemini"],
    }
