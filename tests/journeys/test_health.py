"""Accounts that fail, rest and come back, over real sockets, with a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sub2api import wiring
from sub2api.demo.script import Play, Raw, Refuse
from sub2api.demo.upstream import DemoUpstream
from sub2api.model.health import RestRule
from tests.fakes.clocks import ShiftedClock
from tests.fakes.world import World, running_world
from tests.journeys.test_fidelity import CALLS, ask

MESSAGES = CALLS["messages"]


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
async def world(
    tmp_path: Path, upstream: DemoUpstream, clock: ShiftedClock
) -> AsyncIterator[World]:
    async with running_world(tmp_path, upstream, clock=clock) as running:
        yield running


async def status(world: World) -> int:
    return (await ask(world, MESSAGES[1], MESSAGES[2])).status_code


def asked(world: World, credential: str) -> int:
    """Return how many generations an account was asked for."""
    return sum(seen.headers.get("x-api-key") == credential for seen in world.upstream.requests)


async def test_after_a_burst_the_account_rests_seconds_not_hours(
    world: World, clock: ShiftedClock
) -> None:
    world.upstream.script("anthropic-1", Refuse(429))
    assert await status(world) == 429
    resting = await ask(world, MESSAGES[1], MESSAGES[2])
    assert resting.status_code == 429
    assert 1 <= int(resting.headers["retry-after"]) <= 5
    assert asked(world, "anthropic-1") == 1
    clock.shift = 6.0
    assert await status(world) == 200


async def test_a_full_window_rests_until_the_vendors_own_reset(
    world: World, clock: ShiftedClock
) -> None:
    resets = clock.now() + 7200
    headers = (
        ("anthropic-ratelimit-unified-5h-utilization", "1.02"),
        ("anthropic-ratelimit-unified-5h-reset", str(int(resets))),
        ("anthropic-ratelimit-unified-5h-status", "rejected"),
        ("anthropic-ratelimit-unified-7d-utilization", "0.3"),
        ("anthropic-ratelimit-unified-7d-reset", str(int(resets + 86400))),
    )
    world.upstream.script("anthropic-1", Refuse(429, headers=headers))
    assert await status(world) == 429
    refused = await ask(world, MESSAGES[1], MESSAGES[2])
    assert 7100 <= int(refused.headers["retry-after"]) <= 7201
    clock.shift = 7100.0
    assert await status(world) == 429
    clock.shift = 7202.0
    assert await status(world) == 200


async def test_an_overloaded_vendor_is_529_and_comes_back(
    world: World, clock: ShiftedClock
) -> None:
    world.upstream.script("anthropic-1", Refuse(529))
    assert await status(world) == 529
    assert await status(world) == 529
    assert asked(world, "anthropic-1") == 1
    clock.shift = 61.0
    assert await status(world) == 200


async def test_a_refused_credential_puts_the_account_out_of_use(
    world: World, clock: ShiftedClock
) -> None:
    world.upstream.script("anthropic-1", Refuse(401, message="invalid x-api-key"))
    assert await status(world) in {502, 503}
    assert await status(world) == 503
    async with asyncio.timeout(5):
        while (await world.accounts.find("anthropic-1")).status != "error":
            await asyncio.sleep(0.02)
    await wiring.refresh(world.parts)
    clock.shift = 30 * 86400.0
    assert await status(world) == 503
    account = await world.accounts.find("anthropic-1")
    assert account.status == "error"
    assert "401" in (account.error_message or "")


async def test_one_callers_bad_requests_never_rest_an_account(world: World) -> None:
    world.upstream.script("anthropic-1", *(Refuse(400, message="bad") for _ in range(20)))
    assert [await status(world) for _ in range(20)] == [400] * 20
    assert await status(world) == 200


async def test_half_open_one_call_probes_and_failure_is_a_longer_rest(
    world: World, clock: ShiftedClock
) -> None:
    world.upstream.script("anthropic-1", Refuse(429), Refuse(429))
    assert await status(world) == 429
    clock.shift = 6.0
    assert await status(world) == 429  # the probe
    assert asked(world, "anthropic-1") == 2
    clock.shift = 12.0
    assert await status(world) == 429  # still at rest: ten seconds this time
    assert asked(world, "anthropic-1") == 2
    clock.shift = 17.0
    assert await status(world) == 200
    clock.shift = 17.1
    assert await status(world) == 200


async def test_while_a_probe_is_under_way_others_wait_for_what_it_finds(
    world: World, clock: ShiftedClock
) -> None:
    world.upstream.script("anthropic-1", Refuse(429))
    assert await status(world) == 429
    clock.shift = 6.0
    world.upstream.script("anthropic-1", Play(delay=0.05))
    statuses = await asyncio.gather(*(status(world) for _ in range(10)))
    assert statuses == [200] * 10


async def test_a_restart_keeps_rests(
    tmp_path: Path, upstream: DemoUpstream, clock: ShiftedClock
) -> None:
    async with running_world(tmp_path, upstream, clock=clock) as world:
        key = world.key
        upstream.script("anthropic-1", Refuse(529))
        assert await status(world) == 529
    async with running_world(tmp_path, upstream, clock=clock) as world:
        world.key = key
        assert await status(world) == 529
        assert asked(world, "anthropic-1") == 1


async def test_clear_now_ends_a_rest_at_once(world: World) -> None:
    world.upstream.script("anthropic-1", Refuse(529))
    assert await status(world) == 529
    await world.change_account("anthropic-1", cleared_at=world.parts.clock.now())
    assert await status(world) == 200


async def test_an_operators_rule_rests_an_account(world: World, clock: ShiftedClock) -> None:
    rule = RestRule(403, ("try again tomorrow",), minutes=30)
    await world.change_account("anthropic-1", rest_rules=(rule,))
    world.upstream.script("anthropic-1", Refuse(403, message="Please TRY AGAIN tomorrow"))
    await status(world)
    clock.shift = 29 * 60.0
    assert await status(world) in {429, 529}
    clock.shift = 30 * 60.0 + 1
    assert await status(world) == 200


async def test_a_broken_proxy_is_the_proxys_fault_and_others_go_on(
    world: World, upstream: DemoUpstream
) -> None:
    await world.add_account("anthropic", "behind", priority=1, proxy="http://127.0.0.1:1")
    for _ in range(5):
        assert await status(world) == 200
    behind = await world.accounts.find("behind")
    assert behind.status == "active"


async def test_three_failures_of_the_vendor_in_a_row_rest_an_account_shortly(
    world: World, clock: ShiftedClock
) -> None:
    world.upstream.script("anthropic-1", *(Refuse(500) for _ in range(3)))
    for _ in range(3):
        assert await status(world) == 502
    assert asked(world, "anthropic-1") == 3
    assert await status(world) == 529
    assert asked(world, "anthropic-1") == 3
    clock.shift = 6.0
    assert await status(world) == 200


async def test_an_account_whose_vendor_is_unreachable_fails_over(world: World) -> None:
    await world.add_account("anthropic", "anthropic-2", priority=60)
    world.upstream.always("anthropic-1", Raw(b"", reset=True))
    for number in range(6):
        headers = {"x-claude-code-session-id": f"session {number}"}
        assert (await ask(world, MESSAGES[1], MESSAGES[2], headers)).status_code == 200
    # After three failures in a row it is left alone for a while.
    assert asked(world, "anthropic-1") == 3


async def test_windows_a_vendor_tells_of_are_kept(world: World) -> None:
    resets = int(world.parts.clock.now()) + 3600
    world.upstream.script("anthropic-1", Refuse(400, headers=(
        ("anthropic-ratelimit-unified-5h-utilization", "0.42"),
        ("anthropic-ratelimit-unified-5h-reset", str(resets)),
    )))  # fmt: skip
    assert await status(world) == 400
    account = await world.accounts.find("anthropic-1")
    windows = world.parts.health.windows_of(account.id)
    assert [(each.name, each.utilization, each.resets_at) for each in windows] == [
        ("5h", 0.42, resets)
    ]


async def test_silence_in_mid_stream_counts_as_a_stall_where_the_operator_wants_that(
    tmp_path: Path, upstream: DemoUpstream, clock: ShiftedClock
) -> None:
    environment = {
        "GATEWAY_IDLE_TIMEOUT": "0.3",
        "GATEWAY_STALL_ENABLED": "true",
        "GATEWAY_STALL_THRESHOLD": "2",
        "GATEWAY_STALL_REST_MINUTES": "7",
    }
    async with running_world(tmp_path, upstream, clock=clock, **environment) as world:
        upstream.script("anthropic-1", Play(stall_after=3), Play(stall_after=3))
        for _ in range(2):
            reply = await ask(world, MESSAGES[1], MESSAGES[2])
            assert (reply.status_code, reply.content.count(b"event: error")) == (200, 1)
        assert await status(world) in {429, 529}
        clock.shift = 6.9 * 60
        assert await status(world) in {429, 529}
        clock.shift = 7.1 * 60
        assert await status(world) == 200


async def test_an_overload_told_in_mid_stream_rests_the_account(
    world: World, clock: ShiftedClock
) -> None:
    world.upstream.script("anthropic-1", Play(error_after=4, delay=0.02))
    reply = await ask(world, MESSAGES[1], MESSAGES[2])
    assert reply.status_code == 200
    assert b"overloaded_error" in reply.content
    assert await status(world) == 529
    clock.shift = 61.0
    assert await status(world) == 200
