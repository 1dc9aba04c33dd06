"""The scripted vendor: its own books, its script, and the mistakes it can be told to make."""

from __future__ import annotations

import json

import httpx
import pytest

from sub2api.demo.script import Play, Raw, Refuse, empty_stream, html, redirect
from sub2api.demo.upstream import DemoUpstream

BODY = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Say hello"}]}


async def post(upstream: DemoUpstream, body: object = BODY, **options: object) -> httpx.Response:
    async with httpx.AsyncClient(base_url=upstream.base_url, timeout=5) as client:
        return await client.post(
            str(options.get("path", "/v1/messages")),
            json=body,
            headers={"x-api-key": str(options.get("key", "k"))},
        )


async def test_its_books_hold_what_it_sent(upstream: DemoUpstream) -> None:
    upstream.record_bytes = True
    reply = await post(upstream)
    entry = upstream.entries[-1]
    assert entry.usage == reply.json()["usage"]
    assert entry.complete
    assert upstream.ledger.bodies[entry.request_id] == reply.content
    assert upstream.requests[-1].headers["x-api-key"] == "k"


async def test_a_script_is_per_credential_and_used_up(upstream: DemoUpstream) -> None:
    upstream.script("k", Refuse(429, headers=(("retry-after", "9"),)), Play(text="two words"))
    first = await post(upstream)
    assert (first.status_code, first.headers["retry-after"]) == (429, "9")
    assert (await post(upstream, key="other")).status_code == 200
    assert (await post(upstream)).json()["content"][0]["text"] == "two words"
    assert "Hello" in (await post(upstream)).json()["content"][0]["text"]
    upstream.always("k", Refuse(500))
    assert (await post(upstream)).status_code == 500
    upstream.always("k", None)
    assert (await post(upstream)).status_code == 200


async def test_usage_is_cached_the_second_time(upstream: DemoUpstream) -> None:
    system = [{"type": "text", "text": "long " * 50, "cache_control": {"type": "ephemeral"}}]
    first = (await post(upstream, {**BODY, "system": system})).json()["usage"]
    second = (await post(upstream, {**BODY, "system": system})).json()["usage"]
    assert first["cache_creation_input_tokens"] == second["cache_read_input_tokens"] > 0


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/responses"])
async def test_a_missing_credential_and_a_bad_body_are_refused(
    upstream: DemoUpstream, path: str
) -> None:
    assert (await post(upstream, key="", path=path)).status_code == 401
    async with httpx.AsyncClient(base_url=upstream.base_url) as client:
        reply = await client.post(path, content=b"{", headers={"x-api-key": "k"})
        assert reply.status_code == 400
        assert (await client.get("/v1/models/nope", headers={"x-api-key": "k"})).status_code == 404
        assert (await client.post("/nope", json={}, headers={"x-api-key": "k"})).status_code == 404


async def test_it_can_misbehave(upstream: DemoUpstream) -> None:
    upstream.script("k", html(), redirect("http://elsewhere/"))
    assert "<html>" in (await post(upstream)).text
    assert (await post(upstream)).status_code == 302
    stream = {**BODY, "stream": True}
    upstream.script("k", empty_stream(), Play(terminal=False), Play(error_after=2))
    assert (await post(upstream, stream)).content == b""
    assert b"message_stop" not in (await post(upstream, stream)).content
    assert b"overloaded_error" in (await post(upstream, stream)).content
    for step in (Play(cut_after=2), Play(cut_after=2, cut_how="rst"), Raw(b"junk"),
                 Raw(b"", reset=True), Play(wrong_length=True)):  # fmt: skip
        upstream.script("k", step)
        with pytest.raises(httpx.HTTPError):
            await post(upstream, BODY if step == Play(wrong_length=True) else stream)
    upstream.script(
        "k", Play(huge=100_000), Play(bytes_per_second=200_000), Play(service_tier="flex")
    )
    assert len((await post(upstream)).content) > 100_000
    assert (await post(upstream)).status_code == 200
    assert (await post(upstream)).json()["usage"]["service_tier"] == "flex"


async def test_silence_lasts_until_the_peer_gives_up(upstream: DemoUpstream) -> None:
    for step in (Play(stall_before="head"), Play(stall_before="first_event"), Play(stall_after=2)):
        upstream.script("k", step)
        async with httpx.AsyncClient(base_url=upstream.base_url, timeout=0.3) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(
                    "/v1/messages", json={**BODY, "stream": True}, headers={"x-api-key": "k"}
                )
    assert not any(entry.complete for entry in upstream.entries)


async def test_a_response_of_another_credential_is_not_found(upstream: DemoUpstream) -> None:
    body = {"model": "gpt-5.1", "input": "hi"}
    made = (await post(upstream, body, path="/v1/responses")).json()["id"]
    follow = {**body, "previous_response_id": made}
    assert (await post(upstream, follow, path="/v1/responses")).status_code == 200
    refused = await post(upstream, follow, path="/v1/responses", key="other")
    assert json.loads(refused.content)["error"]["code"] == "previous_response_not_found"


async def test_embeddings_come_in_batches(upstream: DemoUpstream) -> None:
    path = "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    reply = await post(upstream, {"requests": [{}, {}]}, path=path)
    assert len(reply.json()["embeddings"]) == 2
