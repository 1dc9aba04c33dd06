"""Failover, concurrency and groups: only one reply, never two glued together."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import pytest

from sub2api.demo.script import Play, Raw, Refuse, Step, empty_stream, html, redirect
from sub2api.demo.upstream import DemoUpstream
from sub2api.store import proxies as stored_proxies
from sub2api.store.database import Database
from sub2api.store.sealing import load_sealer
from sub2api.transport.policy import guard_for
from sub2api.upstream.accounts import Accounts
from tests.fakes.world import World, running_world
from tests.journeys.test_fidelity import CALLS, ask

MESSAGES = CALLS["messages"]

FAILURES: dict[str, Step] = {
    "rate limited": Refuse(429),
    "overloaded": Refuse(529),
    "broken": Refuse(500),
    "bad credential": Refuse(401),
    "forbidden": Refuse(403),
    "a page": html(),
    "empty stream": empty_stream(),
    "garbage": Raw(b"\x00\x01garbage\r\n\r\n"),
    "redirect": redirect("http://169.254.169.254/"),
    "error event first": Play(error_after=0),
    "reset before the head": Raw(b"", reset=True),
    "cut before the first event": Play(cut_after=0),
}


@pytest.mark.parametrize("failure", list(FAILURES))
@pytest.mark.parametrize("stream", [True, False])
async def test_a_failed_attempt_moves_on_to_the_next_account(
    world: World, failure: str, stream: bool
) -> None:
    await world.add_account("anthropic", "anthropic-2", priority=60)
    if not stream and failure == "error event first":
        pytest.skip("only streams have events")
    world.upstream.always("anthropic-1", FAILURES[failure])
    reply = await ask(world, MESSAGES[1], {**MESSAGES[2], "stream": stream})
    assert reply.status_code == 200
    assert reply.content.count(b"message_start" if stream else b'"type":"message"') in {1, 2}
    assert reply.content.count(b"event: message_start") == int(stream)
    row = (await world.rows(1))[0]
    assert (row.account_name, row.attempts, row.error) == ("anthropic-2", 2, "")


async def test_a_callers_fault_is_passed_on_unchanged_and_not_retried(world: World) -> None:
    await world.add_account("anthropic", "anthropic-2", priority=60)
    error = b'{"type":"invalid_request_error","message":"prompt is too long: 1 > 0"}'
    body = b'{"type":"error","error":' + error + b"}"
    refusal = Refuse(400, body, headers=(("anthropic-ratelimit-requests-limit", "5"),))
    world.upstream.always("anthropic-1", refusal)
    reply = await ask(world, MESSAGES[1], MESSAGES[2])
    assert (reply.status_code, reply.content) == (400, body)
    assert reply.headers["anthropic-ratelimit-requests-limit"] == "5"
    assert len(world.upstream.requests) == 1


async def test_after_the_first_frame_there_is_no_other_account(world: World) -> None:
    await world.add_account("anthropic", "anthropic-2", priority=60)
    world.upstream.always("anthropic-1", Play(error_after=3, delay=0.02))
    reply = await ask(world, MESSAGES[1], MESSAGES[2])
    assert reply.content.count(b"event: message_start") == 1
    assert b"overloaded_error" in reply.content
    assert len(world.upstream.requests) == 1
    assert (await world.rows(1))[0].error == "upstream_error_event"


async def test_when_all_fail_the_earliest_retry_time_is_told(world: World) -> None:
    await world.add_account("anthropic", "anthropic-2", priority=60)
    world.upstream.always("anthropic-1", Refuse(429, headers=(("retry-after", "7"),)))
    world.upstream.always("anthropic-2", Refuse(429, headers=(("retry-after", "300"),)))
    reply = await ask(world, MESSAGES[1], MESSAGES[2])
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "7")
    row = (await world.rows(1))[0]
    assert (row.status, row.error, row.attempts, row.cost) == (429, "rate_limited", 2, 0)


async def test_an_unreachable_account_and_a_dead_proxy_fail_over(world: World) -> None:
    await world.change_account("anthropic-1", base_url="http://127.0.0.1:9")
    await world.add_account(
        "anthropic", "proxied", priority=55, proxy="socks5://user:pw@127.0.0.1:9"
    )
    await world.add_account("anthropic", "anthropic-2", priority=60)
    reply = await ask(world, MESSAGES[1], MESSAGES[2])
    assert reply.status_code == 200
    assert (await world.rows(1))[0].attempts == 3
    assert {seen.headers["x-api-key"] for seen in world.upstream.requests} == {"anthropic-2"}


async def test_a_disabled_proxy_is_never_gone_around(world: World) -> None:
    await world.accounts.change("anthropic-1", {}, proxy="http://127.0.0.1:9")
    proxy = (await world.accounts.find("anthropic-1")).proxy
    assert proxy is not None
    async with world.parts.database.transaction() as connection:
        sealer = load_sealer(world.settings)
        await stored_proxies.change(connection, sealer, proxy.id, {"status": "disabled"})
    await world.parts.catalogue.refresh()
    reply = await ask(world, MESSAGES[1], MESSAGES[2])
    assert reply.status_code == 502
    assert not world.upstream.requests
    assert (await world.rows(1))[0].error == "proxy"


async def test_silence_before_the_first_frame_fails_over(
    tmp_path: object, upstream: DemoUpstream
) -> None:
    async with running_world(
        tmp_path,
        upstream,
        GATEWAY_FIRST_BYTE_TIMEOUT_STREAM="0.5",  # type: ignore[arg-type]
    ) as world:
        await world.add_account("anthropic", "anthropic-2", priority=60)
        for stall in (Play(stall_before="head"), Play(stall_before="first_event")):
            world.upstream.script("anthropic-1", stall)
            session = {"x-session-id": str(stall.stall_before)}
            reply = await ask(world, MESSAGES[1], MESSAGES[2], session)
            assert b"message_stop" in reply.content
        assert {row.attempts for row in await world.rows(2)} == {2}


async def test_a_waiting_client_hears_keep_alives_between_complete_frames(
    tmp_path: object, upstream: DemoUpstream
) -> None:
    async with running_world(
        tmp_path,
        upstream,
        GATEWAY_KEEPALIVE_SECONDS="0.2",  # type: ignore[arg-type]
    ) as world:
        upstream.always("anthropic-1", Play(delay=0.5, text="a b"))
        upstream.always("openai-1", Play(delay=0.5, text="a b"))
        upstream.always("gemini-1", Play(delay=0.5, text="a b"))
        for wire, mark in {"messages": b"event: ping", "chat": b": keep-alive"}.items():
            reply = await ask(world, CALLS[wire][1], CALLS[wire][2])
            assert reply.content.startswith(mark)
            assert reply.content.count(mark) >= 4
            assert all(b"\n" not in frame.split(mark)[0] for frame in reply.content.split(b"\n\n")
                       if mark in frame)  # fmt: skip
        reply = await ask(world, CALLS["gemini"][1], CALLS["gemini"][2])
        assert b"keep-alive" not in reply.content
        assert b"ping" not in reply.content


async def test_a_refusal_after_keep_alives_is_an_error_event(
    tmp_path: object, upstream: DemoUpstream
) -> None:
    async with running_world(
        tmp_path, upstream,  # type: ignore[arg-type]
        GATEWAY_KEEPALIVE_SECONDS="0.1", GATEWAY_FIRST_BYTE_TIMEOUT_STREAM="0.5",
    ) as world:  # fmt: skip
        upstream.always("anthropic-1", Play(stall_before="head"))
        reply = await ask(world, MESSAGES[1], MESSAGES[2])
        assert reply.status_code == 200
        assert reply.content.count(b"event: error") == 1
        assert b"timeout_error" in reply.content
        row = (await world.rows(1))[0]
        assert (row.error, row.cost) == ("first_byte_timeout", 0)


async def test_concurrency_limits_hold_per_account_and_per_key(world: World) -> None:
    await world.change_account("anthropic-1", concurrency=2)
    world.upstream.always("anthropic-1", Play(delay=0.02))
    began = time.monotonic()
    replies = await asyncio.gather(*(ask(world, MESSAGES[1], MESSAGES[2]) for _ in range(8)))
    assert {reply.status_code for reply in replies} == {200}
    one = (await world.rows(8))[0].duration_ms / 1000
    assert time.monotonic() - began > one  # they took turns
    key = await world.add_key("narrow", concurrency=1)
    world.key = key
    replies = await asyncio.gather(*(ask(world, MESSAGES[1], MESSAGES[2]) for _ in range(3)))
    assert {reply.status_code for reply in replies} == {200}


async def test_a_full_queue_is_429_with_a_time_to_come_back(
    tmp_path: object, upstream: DemoUpstream
) -> None:
    async with running_world(
        tmp_path,
        upstream,
        GATEWAY_SCHEDULING_FALLBACK_WAIT_TIMEOUT="0.2",  # type: ignore[arg-type]
    ) as world:
        await world.change_account("anthropic-1", concurrency=1)
        upstream.always("anthropic-1", Play(delay=0.2))
        replies = await asyncio.gather(*(ask(world, MESSAGES[1], MESSAGES[2]) for _ in range(4)))
        refused = [reply for reply in replies if reply.status_code == 429]
        assert len(refused) == 3
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
        # Counting comes in bursts and takes no such place.
        body = {"model": "claude-sonnet-4-5", "messages": []}
        counts = [ask(world, "/v1/messages/count_tokens", body) for _ in range(25)]
        assert {reply.status_code for reply in await asyncio.gather(*counts)} == {200}


async def test_counting_is_estimated_where_the_vendor_cannot(world: World) -> None:
    body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "x" * 400}]}
    exact = await ask(world, "/v1/messages/count_tokens", body)
    assert exact.json() == {"input_tokens": 100}
    for name in ("anthropic-1", "openai-1", "gemini-1"):
        world.upstream.always(name, Refuse(404))
    estimated = await ask(world, "/v1/messages/count_tokens", body)
    assert estimated.headers["x-sub2api-estimated"] == "true"
    assert estimated.json()["input_tokens"] > 100
    counted = await ask(world, "/v1/responses/input_tokens", {"model": "gpt-5.1", "input": "x"})
    assert counted.json()["object"] == "response.input_tokens"
    counted = await ask(world, "/v1beta/models/gemini-2.5-flash:countTokens", {"contents": []})
    assert counted.json()["totalTokens"] >= 1
    world.upstream.always("anthropic-1", Refuse(429))
    assert (await ask(world, "/v1/messages/count_tokens", body)).status_code == 429
    assert await world.rows(0) == []


async def test_a_keys_groups_are_used_in_their_order(world: World) -> None:
    await world.add_group("first", "anthropic", rate_multiplier="0.5")
    await world.add_group("second", "anthropic")
    await world.add_account("anthropic", "in-first", groups=("first",), priority=90)
    await world.add_account("anthropic", "in-second", groups=("second",), priority=1)
    world.key = await world.add_key("grouped", groups=["first", "second"])
    await ask(world, MESSAGES[1], MESSAGES[2])
    world.upstream.always("in-first", Refuse(500))
    await ask(world, MESSAGES[1], MESSAGES[2])
    second, first = await world.rows(2)
    assert (first.account_name, first.multiplier) == ("in-first", "0.5")
    assert first.list_cost
    assert first.cost == (first.list_cost + 1) // 2 or first.cost == first.list_cost // 2
    assert (second.account_name, second.attempts) == ("in-second", 2)
    assert "anthropic-1" not in {seen.headers["x-api-key"] for seen in world.upstream.requests}


@pytest.mark.parametrize("policy", ["cancel", "observed", "drain"])
async def test_each_policy_settles_a_client_that_leaves(world: World, policy: str) -> None:
    await world.add_group("leaving", "anthropic", disconnect=policy)
    await world.add_account("anthropic", "left", groups=("leaving",))
    key = await world.add_key("leaver", groups=["leaving"])
    world.upstream.always("left", Play(delay=0.05))
    headers = {"x-api-key": key}
    async with (
        httpx.AsyncClient(base_url=world.base_url, headers=headers) as client,
        client.stream("POST", MESSAGES[1], json=MESSAGES[2]) as reply,
    ):
        async for piece in reply.aiter_raw():
            if b"text_delta" in piece:
                break
    row = (await world.rows(1))[0]
    entry = world.upstream.entries[-1]
    assert (row.status, row.error) == (499, "client_left")
    assert entry.complete == (policy == "drain")
    expected = {"cancel": "estimated", "observed": "observed", "drain": "drained"}
    assert row.settled_by == expected[policy]
    assert row.input_tokens == entry.usage["input_tokens"]
    if policy == "drain":
        assert row.output_tokens == entry.usage["output_tokens"]
    elif policy == "observed":
        assert row.output_tokens == 1  # what message_start said
    else:
        assert row.output_tokens >= 1
    assert world.parts.live.load("user:1") == (0, 0)


async def test_a_response_id_of_another_key_is_not_found(world: World) -> None:
    body = {"model": "gpt-5.1", "input": "Say hello"}
    made = (await ask(world, "/v1/responses", body)).json()["id"]
    mine = await ask(world, "/v1/responses", {**body, "previous_response_id": made})
    assert mine.status_code == 200
    await world.rows(2)
    world.key = await world.add_key("other")
    for _ in range(2):
        theirs = await ask(world, "/v1/responses", {**body, "previous_response_id": made})
        assert theirs.status_code == 400
        assert theirs.json()["error"]["code"] == "previous_response_not_found"
    sent = [json.loads(seen.body) for seen in world.upstream.requests if seen.method == "POST"]
    assert len(sent) == 2


async def test_changes_by_another_process_are_seen_within_two_seconds(world: World) -> None:
    assert (await ask(world, MESSAGES[1], MESSAGES[2])).status_code == 200
    other = await Database.open(world.settings.database.url)
    try:
        accounts = Accounts(
            other, load_sealer(world.settings), guard_for(world.settings), world.parts.clock
        )
        await accounts.change("anthropic-1", {"status": "disabled"})
    finally:
        await other.close()
    async with asyncio.timeout(2):
        while (await ask(world, MESSAGES[1], MESSAGES[2])).status_code != 503:
            await asyncio.sleep(0.1)
