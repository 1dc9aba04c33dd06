"""Byte fidelity: what the vendor sent is what the client gets, for every cut of the stream."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from sub2api.demo.script import Play
from tests.fakes.world import World

MESSAGE = [{"role": "user", "content": "Say hello to é and \\ and \u2028"}]
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "messages": (
        "anthropic-1",
        "/v1/messages?beta=true",
        {"model": "claude-sonnet-4-5", "max_tokens": 9, "stream": True, "messages": MESSAGE,
         "thinking": {"type": "adaptive"}},
    ),
    "chat": (
        "openai-1",
        "/v1/chat/completions",
        {"model": "gpt-5.1", "stream": True, "messages": MESSAGE,
         "stream_options": {"include_usage": True}},
    ),
    "responses": (
        "openai-1", "/v1/responses",
        {"model": "gpt-5.1", "stream": True, "input": MESSAGE, "reasoning": {"effort": "low"}},
    ),
    "gemini": (
        "gemini-1",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "Say hello"}]}]},
    ),
}  # fmt: skip


async def ask(
    world: World, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
) -> httpx.Response:
    headers = {"authorization": f"Bearer {world.key}", **(headers or {})}
    async with httpx.AsyncClient(base_url=world.base_url, headers=headers, timeout=60) as client:
        return await client.post(path, json=body)


def sent_by_upstream(world: World) -> bytes:
    return world.upstream.ledger.bodies[world.upstream.entries[-1].request_id]


@pytest.mark.parametrize("wire", list(CALLS))
@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 61, 500])
async def test_a_stream_arrives_byte_for_byte_however_it_is_cut(
    world: World, wire: str, size: int
) -> None:
    credential, path, body = CALLS[wire]
    world.upstream.record_bytes = True
    world.upstream.always(credential, Play(chunks=size))
    reply = await ask(world, path, body)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["request-id"] == reply.headers["x-request-id"]
    assert reply.content == sent_by_upstream(world)
    entry = world.upstream.entries[-1]
    row = (await world.rows(1))[0]
    assert row.received.items() >= entry.usage.items() or wire == "messages"
    assert row.output_tokens > 0


@pytest.mark.parametrize("wire", list(CALLS))
@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
async def test_a_compressed_stream_arrives_decoded(world: World, wire: str, encoding: str) -> None:
    credential, path, body = CALLS[wire]
    world.upstream.always(credential, Play())
    world.upstream.record_bytes = True
    plain = (await ask(world, path, body)).content
    world.upstream.always(credential, Play(encoding=encoding))  # type: ignore[arg-type]
    reply = await ask(world, path, body)
    assert "content-encoding" not in reply.headers
    normal = [re.sub(rb"0000000\d", b"N", each) for each in (plain, reply.content)]
    assert len(normal[0].splitlines()) == len(normal[1].splitlines())
    assert (await world.rows(2))[0].output_tokens > 0


@pytest.mark.parametrize("wire", list(CALLS))
async def test_a_whole_reply_arrives_byte_for_byte(world: World, wire: str) -> None:
    _, path, body = CALLS[wire]
    world.upstream.record_bytes = True
    body = {key: value for key, value in body.items() if not key.startswith("stream")}
    path = path.replace("streamGenerateContent?alt=sse", "generateContent")
    reply = await ask(world, path, body)
    assert reply.content == sent_by_upstream(world)
    assert int(reply.headers["content-length"]) == len(reply.content)


async def test_a_gemini_stream_without_sse_is_a_json_array(world: World) -> None:
    world.upstream.record_bytes = True
    path = CALLS["gemini"][1].replace("?alt=sse", "")
    reply = await ask(world, path, CALLS["gemini"][2])
    assert reply.content == sent_by_upstream(world)
    assert isinstance(reply.json(), list)
    assert (await world.rows(1))[0].output_tokens > 0


@pytest.mark.parametrize("wire", list(CALLS))
@pytest.mark.parametrize("size", [0, 5])
async def test_edit_one_the_model_name_is_restored(world: World, wire: str, size: int) -> None:
    credential, path, body = CALLS[wire]
    world.upstream.record_bytes = True
    world.upstream.always(credential, Play(chunks=size))
    real = body.get("model", "gemini-2.5-flash")
    await world.change_account(credential, model_mapping={"my-model": real})
    if "model" in body:
        body = {**body, "model": "my-model"}
    reply = await ask(world, path.replace(real, "my-model"), body)
    sent = sent_by_upstream(world)
    key = b"modelVersion" if wire == "gemini" else b"model"
    assert reply.content == sent.replace(
        b'"%s":"%s"' % (key, real.encode()), b'"%s":"my-model"' % key
    )
    assert reply.content != sent
    row = (await world.rows(1))[0]
    assert (row.model, row.upstream_model) == ("my-model", real)
    assert row.cost  # priced by the name the upstream knows, since nobody sells "my-model"


async def test_edit_two_the_usage_chunk_nobody_asked_for_is_dropped(world: World) -> None:
    credential, path, body = CALLS["chat"]
    world.upstream.record_bytes = True
    for size in (0, 3):
        world.upstream.always(credential, Play(chunks=size))
        plain = {key: value for key, value in body.items() if key != "stream_options"}
        reply = await ask(world, path, plain)
        sent = sent_by_upstream(world)
        usage_chunk = next(
            each + b"\n\n" for each in sent.split(b"\n\n") if b'"choices":[]' in each
        )
        assert reply.content == sent.replace(usage_chunk, b"")
    assert all(row.output_tokens for row in await world.rows(2))


@pytest.mark.parametrize("wire", list(CALLS))
async def test_edit_three_a_broken_stream_ends_with_an_error_event(world: World, wire: str) -> None:
    credential, path, body = CALLS[wire]
    world.upstream.record_bytes = True
    world.upstream.always(credential, Play(cut_after=5))
    reply = await ask(world, path, body)
    sent = sent_by_upstream(world)
    assert reply.content.startswith(sent)
    ending = reply.content[len(sent) :]
    assert b"error" in ending
    assert ending.endswith(b"\n\n")
    assert (await world.rows(1))[0].truncated


@pytest.mark.parametrize("wire", list(CALLS))
async def test_a_stream_without_its_terminal_event_is_not_passed_off_as_complete(
    world: World, wire: str
) -> None:
    credential, path, body = CALLS[wire]
    world.upstream.always(credential, Play(terminal=False))
    reply = await ask(world, path, body)
    assert b"error" in reply.content.splitlines()[-2]
    row = (await world.rows(1))[0]
    assert (row.error, row.truncated) == ("truncated", True)


async def test_headers_of_both_sides_follow_the_policy(world: World) -> None:
    _, path, body = CALLS["messages"]
    headers = {
        "x-api-key": world.key,
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "new-thing-2030",
        "x-new-client-header": "1",
        "cookie": "secret=1",
        "x-forwarded-for": "1.2.3.4",
    }
    async with httpx.AsyncClient(base_url=world.base_url, headers=headers) as client:
        reply = await client.post(path, json=body)
    seen = world.upstream.requests[-1]
    assert seen.query == "beta=true"
    assert seen.headers["anthropic-version"] == "2026-10-21"
    assert seen.headers["anthropic-beta"] == "new-thing-2030"
    assert seen.headers["x-new-client-header"] == "1"
    assert seen.headers["x-api-key"] == "anthropic-1"
    assert seen.headers["accept-encoding"] == "identity"
    assert not {"cookie", "x-forwarded-for", "authorization"} & set(seen.headers)
    assert world.key not in str(seen)
    assert reply.headers["x-request-id"].startswith("req_")
