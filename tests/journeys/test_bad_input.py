"""Bad input: the right status in the client's dialect, exactly one reply, no secret in any log."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
from typing import Any

import httpx
import pytest
import zstandard

from tests.fakes.world import World
from tests.journeys.test_fidelity import CALLS

PATHS = {wire: path for wire, (_, path, _) in CALLS.items()}


async def post(world: World, wire: str, body: bytes, **headers: str) -> httpx.Response:
    sent = {"authorization": f"Bearer {world.key}", "content-type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(base_url=world.base_url, headers=sent, timeout=30) as client:
        return await client.post(PATHS[wire], content=body)


def message_of(wire: str, reply: httpx.Response) -> str:
    """Return the refusal's text; fails unless it has the dialect's shape."""
    said = reply.json()
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    if wire == "messages":
        assert said["type"] == "error"
        assert set(said) == {"type", "error", "request_id"}
    elif wire == "gemini":
        assert said["error"]["code"] == reply.status_code
        assert said["error"]["status"]
    else:
        assert set(said["error"]) == {"message", "type", "param", "code"}
    return str(said["error"]["message"])


@pytest.mark.parametrize("wire", list(CALLS))
async def test_an_unknown_key_is_401_and_reaches_no_upstream(world: World, wire: str) -> None:
    for header in ("authorization", "x_api_key", "x_goog_api_key"):
        value = "Bearer sk-nobody" if header == "authorization" else "sk-nobody"
        reply = await post(world, wire, b"{}", **{"authorization": "", header: value})
        assert reply.status_code == 401
        assert reply.headers["x-should-retry"] == "false"
        message_of(wire, reply)
    assert not world.upstream.requests


@pytest.mark.parametrize("wire", list(CALLS))
async def test_a_revoked_a_disabled_and_an_expired_key_are_refused(world: World, wire: str) -> None:
    body = json.dumps(CALLS[wire][2]).encode()
    expired = await world.add_key("old", expires_at=1.0)
    elsewhere = await world.add_key("lan", ip_allow=("10.0.0.0/8",))
    denied = await world.add_key("denied", ip_deny=("127.0.0.0/8",))
    for key in (expired, elsewhere, denied):
        reply = await post(world, wire, body, authorization=f"Bearer {key}")
        assert reply.status_code == 403
        message_of(wire, reply)
    await world.keys.revoke("tests")
    async with asyncio.timeout(3):
        while (reply := await post(world, wire, body)).status_code != 401:
            await asyncio.sleep(0.1)
    assert "revoked" in message_of(wire, reply)


@pytest.mark.parametrize("wire", list(CALLS))
@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'"x"', b"\xff\xfe", b"{"])
async def test_a_body_that_is_no_object_is_400(world: World, wire: str, body: bytes) -> None:
    reply = await post(world, wire, body)
    assert reply.status_code == 400
    assert message_of(wire, reply)
    assert not world.upstream.requests


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_compressed_bodies_are_served_and_bombs_are_not(world: World, encoding: str) -> None:
    compress = gzip.compress if encoding == "gzip" else zstandard.compress
    body = json.dumps(CALLS["chat"][2]).encode()
    reply = await post(world, "chat", compress(body), content_encoding=encoding)
    assert reply.status_code == 200
    assert world.upstream.requests[-1].body == body
    bomb = compress(b'{"model":"' + bytes(80 << 20))
    assert len(bomb) < 1 << 20
    reply = await post(world, "chat", bomb, content_encoding=encoding)
    assert reply.status_code == 413
    reply = await post(world, "chat", b"garbage", content_encoding=encoding)
    assert reply.status_code == 400
    reply = await post(world, "chat", body, content_encoding="lzma")
    assert reply.status_code == 415
    message_of("chat", reply)


@pytest.mark.parametrize("wire", list(CALLS))
async def test_a_body_over_the_limit_is_413_before_it_has_arrived(world: World, wire: str) -> None:
    port = int(world.base_url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = PATHS[wire]
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {world.key}\r\n"
        f"content-length: {100 << 20}\r\n\r\n"
    )
    writer.write(head.encode() + b"{")
    status = await asyncio.wait_for(reader.readline(), 10)
    assert b" 413" in status
    writer.close()
    assert not world.upstream.requests


async def test_a_chunked_body_over_the_limit_is_413_too(world: World) -> None:
    async def pieces() -> Any:
        for _ in range(70):
            yield bytes(1 << 20)

    headers = {"authorization": f"Bearer {world.key}"}
    async with httpx.AsyncClient(base_url=world.base_url, headers=headers, timeout=60) as client:
        try:
            reply = await client.post("/v1/messages", content=pieces())
        except httpx.NetworkError:
            return  # the gateway answered and closed while we were still sending
    assert reply.status_code == 413


async def test_a_model_nobody_serves_is_404_and_a_platform_nobody_has_is_400(world: World) -> None:
    await world.change_account("anthropic-1", model_mapping={"claude-*": "claude-*"})
    reply = await post(world, "messages", b'{"model":"gpt-9","messages":[]}')
    assert reply.status_code == 404
    assert "GET /v1/models" in message_of("messages", reply)
    await world.add_group("only-openai", "openai")
    key = await world.add_key("bound", groups=["only-openai"])
    reply = await post(world, "messages", b'{"model":"m"}', authorization=f"Bearer {key}")
    assert reply.status_code == 400
    assert "no anthropic account" in message_of("messages", reply)
    await world.change_account("gemini-1", status="disabled")
    reply = await post(world, "gemini", b"{}")
    assert reply.status_code == 503


async def test_unknown_paths_and_methods_are_json_everywhere(world: World) -> None:
    async with httpx.AsyncClient(base_url=world.base_url) as client:
        for method, path, status in (
            ("GET", "/favicon.ico", 404), ("POST", "/", 404), ("GET", "/v1/responses", 426),
            ("PUT", "/v1/messages", 405), ("GET", "/v1/../etc/passwd", 404), ("OPTIONS", "/x", 404),
            ("POST", "/v1beta/models/m:fly", 404),
        ):  # fmt: skip
            reply = await client.request(method, path)
            assert (reply.status_code, reply.headers["content-type"]) == (
                status,
                "application/json",
            )
            assert reply.json()["error"]
        assert (await client.head("/")).status_code == 200
        for path in ("/health", "/ready", "/"):
            assert (await client.get(path)).status_code == 200


async def test_a_key_in_the_query_counts_on_gemini_routes_only(world: World) -> None:
    async with httpx.AsyncClient(base_url=world.base_url) as client:
        body = CALLS["gemini"][2]
        path = "/v1beta/models/gemini-2.5-flash:generateContent"
        reply = await client.post(f"{path}?key={world.key}", json=body)
        assert reply.status_code == 200
        assert "key=" not in world.upstream.requests[-1].query
        reply = await client.post(f"/v1/messages?key={world.key}", json=CALLS["messages"][2])
        assert reply.status_code == 401


async def test_no_secret_is_ever_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for wire, (_, _, body) in CALLS.items():
        await post(world, wire, json.dumps(body).encode())
        await post(world, wire, b"nonsense")
    text = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    lines = [record for record in caplog.records if record.name == "sub2api.gateway.calls"]
    assert len(lines) == 8
    assert all(record.getMessage().startswith("call call=req_") for record in lines)
    for secret in (world.key, "Say hello"):
        assert secret not in text
    assert "api_key='anthropic-1'" not in text


async def test_garbage_on_the_socket_harms_nobody(world: World) -> None:
    port = int(world.base_url.rsplit(":", 1)[1])
    for junk in (
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(junk)
    reply = await post(world, "chat", json.dumps(CALLS["chat"][2]).encode())
    assert reply.status_code == 200
