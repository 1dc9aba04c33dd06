"""Conversations that only the account which began them can go on with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sub2api import wiring
from sub2api.demo.script import Play, Refuse
from sub2api.demo.upstream import DemoUpstream
from sub2api.errors import Harm
from tests.fakes.holding import nothing_is_left, start, waiting
from tests.fakes.world import World, running_world
from tests.journeys.test_fidelity import ask

RESPONSE = {"model": "gpt-5.1", "input": "Say hello"}


async def conversation(world: World) -> str:
    """Begin a conversation at account `home`; return the id of its last response."""
    reply = await ask(world, "/v1/responses", RESPONSE)
    assert reply.status_code == 200
    return str(reply.json()["id"])


async def go_on(world: World, response_id: str) -> tuple[int, str]:
    """Go on with a conversation; return the status and when to come again."""
    body = {**RESPONSE, "previous_response_id": response_id}
    reply = await ask(world, "/v1/responses", body)
    return reply.status_code, reply.headers.get("retry-after", "")


@pytest.fixture
async def kept(tmp_path: Path, upstream: DemoUpstream) -> AsyncIterator[World]:
    """A gateway with account `home`, which goes first, and another."""
    async with running_world(tmp_path, upstream, bare=True) as world:
        await world.add_account("openai", "home", priority=1)
        await world.add_account("openai", "other", priority=90)
        yield world


async def test_a_kept_conversation_whose_account_rests_is_told_that_accounts_reset(
    kept: World,
) -> None:
    response_id = await conversation(kept)
    account = await kept.accounts.find("home")
    until = kept.parts.clock.now() + 300
    kept.parts.health.harmed(account, "gpt-5.1", Harm("rest", "window_5h", until=until))
    status, again = await go_on(kept, response_id)
    assert status == 429
    assert 290 <= int(again) <= 300
    other = await kept.accounts.find("other")
    soon = kept.parts.clock.now() + 10
    kept.parts.health.harmed(other, "gpt-5.1", Harm("rest", "burst", until=soon))
    assert int((await go_on(kept, response_id))[1]) >= 290  # the other's does not matter to it
    assert (asked_bearer(kept, "home"), asked_bearer(kept, "other")) == (1, 0)


def asked_bearer(world: World, name: str) -> int:
    requests = world.upstream.requests
    return sum(seen.headers["authorization"] == f"Bearer {name}" for seen in requests)


async def test_a_kept_conversation_that_is_refused_upstream_is_told_its_own_accounts_reset(
    kept: World,
) -> None:
    response_id = await conversation(kept)
    other = await kept.accounts.find("other")
    soon = kept.parts.clock.now() + 10
    kept.parts.health.harmed(other, "gpt-5.1", Harm("rest", "burst", until=soon))
    kept.upstream.script("home", Refuse(429, headers=(("retry-after", "300"),)))
    status, again = await go_on(kept, response_id)
    assert status == 429
    assert 290 <= int(again) <= 300
    assert asked_bearer(kept, "other") == 0


async def test_a_kept_conversation_waits_for_its_full_account_and_for_no_other(
    kept: World,
) -> None:
    response_id = await conversation(kept)
    await kept.change_account("home", concurrency=1)
    kept.upstream.script("home", Play(delay=0.1))
    first = start(ask(kept, "/v1/responses", RESPONSE))
    await waiting(kept, "home", 1, 0)
    assert (await go_on(kept, response_id))[0] == 200
    assert (await first).status_code == 200
    assert asked_bearer(kept, "other") == 0
    await nothing_is_left(kept)


async def test_a_kept_conversation_is_not_cut_off_by_a_slow_account_among_many(
    kept: World,
) -> None:
    """Because it is slow its account is ranked behind eight others; no other will do."""
    response_id = await conversation(kept)
    for number in range(10):
        await kept.add_account("openai", f"more-{number}", priority=1)
    account = await kept.accounts.find("home")
    for number in range(10):
        more = await kept.accounts.find(f"more-{number}")
        kept.parts.health.first_frame(more, "gpt-5.1", 0.5)
    for _ in range(3):
        kept.parts.health.first_frame(account, "gpt-5.1", 60.0)
    assert kept.parts.health.is_slow(account, "gpt-5.1")
    await kept.change_account("home", priority=99)
    assert (await go_on(kept, response_id))[0] == 200
    assert asked_bearer(kept, "home") == 2


async def test_a_kept_conversation_whose_account_goes_while_it_waits_is_not_found(
    kept: World,
) -> None:
    response_id = await conversation(kept)
    await kept.change_account("home", concurrency=1)
    kept.upstream.script("home", Play(delay=0.5))
    first = start(ask(kept, "/v1/responses", RESPONSE))
    await waiting(kept, "home", 1, 0)
    turn = start(go_on(kept, response_id))
    await waiting(kept, "home", 1, 1)
    await kept.accounts.remove("home")
    await wiring.refresh(kept.parts)
    assert (await turn)[0] == 400
    assert (await first).status_code == 200
    await nothing_is_left(kept)


async def test_a_restart_keeps_which_account_a_conversation_is_kept_with(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    body = {"model": "gpt-5.1", "input": "Say hello"}
    async with running_world(tmp_path, upstream) as world:
        await world.add_account("openai", "openai-2")
        key = world.key
        made = [(await ask(world, "/v1/responses", body)).json()["id"] for _ in range(4)]
        await world.rows(4)
    homes = [entry.credential for entry in upstream.entries]
    async with running_world(tmp_path, upstream) as world:
        world.key = key
        for response_id in made:
            again = {**body, "previous_response_id": response_id}
            assert (await ask(world, "/v1/responses", again)).status_code == 200
    assert [entry.credential for entry in list(upstream.entries)[4:]] == homes
