"""`explain`: which account a call goes to, and why not the others, from the running gateway."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx

from sub2api.demo.script import Refuse
from sub2api.demo.upstream import DemoUpstream
from sub2api.identity.operator_tokens import OperatorTokens
from sub2api.store.sealing import load_sealer
from tests.fakes.process import served
from tests.fakes.world import World, running_world
from tests.journeys.test_fidelity import CALLS, ask

MESSAGES = CALLS["messages"]
MODEL = "claude-sonnet-4-5"


async def explained(world: World, token: str | None = None, **query: str) -> httpx.Response:
    tokens = OperatorTokens(load_sealer(world.settings), world.parts.clock)
    headers = {"authorization": f"Bearer {tokens.new() if token is None else token}"}
    async with httpx.AsyncClient(base_url=world.base_url, headers=headers) as client:
        return await client.get("/api/v1/admin/explain", params=query)


def accounts(reply: httpx.Response) -> list[dict[str, Any]]:
    body = reply.json()
    assert (body["code"], body["message"]) == (0, "success")
    found: list[dict[str, Any]] = body["data"]["accounts"]
    return found


async def test_every_account_is_listed_in_order_with_why_not(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream, bare=True) as world:
        await world.add_account("anthropic", "second", priority=2)
        await world.add_account("anthropic", "first", priority=1)
        await world.add_account("anthropic", "paused", schedulable=False)
        await world.add_account("anthropic", "other", model_mapping={"else": "else"})
        await world.add_account("anthropic", "resting", priority=0)
        upstream.script("resting", Refuse(529))
        headers = {"x-claude-code-session-id": "s1"}
        assert (await ask(world, MESSAGES[1], MESSAGES[2], headers=headers)).status_code == 200
        found = accounts(await explained(world, key="tests", model=MODEL, session="s1"))
        assert [each["account"] for each in found][:3] == ["first", "second", "resting"]
        assert found[0]["bound"] is True  # the new session stays where it was answered
        by_name = {each["account"]: each for each in found}
        assert "overloaded" in by_name["resting"]["reason"]
        assert by_name["resting"]["until"] > world.parts.clock.now()
        assert "model" in by_name["other"]["reason"]
        assert by_name["paused"]["reason"]


async def test_explain_is_for_operators_only_and_names_what_is_missing(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream) as world:
        refused = await explained(world, token="nobody", key="tests", model=MODEL)
        assert (refused.status_code, refused.json()["reason"]) == (401, "UNAUTHORIZED")
        by_key = await explained(world, token=world.key, key="tests", model=MODEL)
        assert by_key.status_code == 401
        missing = await explained(world, key="tests")
        assert (missing.status_code, missing.json()["reason"]) == (400, "INVALID_ARGUMENT")
        unknown = await explained(world, key="nobodys", model=MODEL)
        assert (unknown.status_code, unknown.json()["code"]) == (404, 404)


async def command(directory: Path, port: int, *words: str) -> tuple[int, str]:
    environ = {"RUN_MODE": "simple", "DATA_DIR": str(directory), "SERVER_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sub2api", *words, env={**environ, "PATH": ""},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_the_command_asks_the_running_gateway_and_says_so_if_there_is_none(
    tmp_path: Path, upstream: DemoUpstream
) -> None:
    async with running_world(tmp_path, upstream):
        pass
    words = ("explain", "--key", "tests", "--model", MODEL)
    async with served(tmp_path) as gateway:
        await gateway.ready()
        code, said = await command(tmp_path, gateway.port, *words)
        assert code == 0, said
        assert "anthropic-1" in said
        code, said = await command(tmp_path, gateway.port, *words, "--json")
        assert json.loads(said)["accounts"][0]["account"] == "anthropic-1"
        port = gateway.port
    code, said = await command(tmp_path, port, *words)
    assert code == 1
    assert "sub2api serve" in said
