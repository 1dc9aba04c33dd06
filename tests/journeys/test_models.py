"""Model lists, in the shape of whoever asks."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fakes.world import World


async def get(world: World, path: str, **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {} if "x-goog-api-key" in sent else {"authorization": f"Bearer {world.key}"}
    async with httpx.AsyncClient(base_url=world.base_url, headers=sent) as client:
        return await client.get(path)


async def test_each_vendors_client_gets_its_own_shape(world: World) -> None:
    openai = (await get(world, "/v1/models")).json()
    assert openai["object"] == "list"
    assert "gpt-5.1" in [row["id"] for row in openai["data"]]
    claude = (await get(world, "/v1/models?limit=1000", anthropic_version="2023-06-01")).json()
    assert {"type", "id", "display_name", "created_at"} == set(claude["data"][0])
    assert claude["first_id"].startswith("claude-")
    google = (await get(world, "/v1/models", x_goog_api_key=world.key)).json()
    assert "models/gemini-2.5-flash" in [row["name"] for row in google["models"]]
    codex = await get(world, "/v1/models?client_version=0.169.0")
    assert "gpt-5.1" in [row["slug"] for row in codex.json()["models"]]
    assert codex.headers["etag"]


async def test_one_model_is_found_or_404(world: World) -> None:
    assert (await get(world, "/v1/models/gpt-5.1")).json()["id"] == "gpt-5.1"
    one = await get(world, "/v1beta/models/gemini-2.5-flash")
    assert one.json()["name"] == "models/gemini-2.5-flash"
    assert (await get(world, "/v1/models/nope")).status_code == 404


async def test_mappings_decide_what_is_listed(world: World) -> None:
    await world.change_account("openai-1", model_mapping={"mine": "gpt-5.1", "gpt-5*": "gpt-5*"})
    ids = [row["id"] for row in (await get(world, "/v1/models")).json()["data"]]
    assert ids == ["gpt-5-mini", "gpt-5.1", "gpt-5.1-codex", "mine"]
    await world.change_account("openai-1", model_mapping={"only": "gpt-5.1"})
    ids = [row["id"] for row in (await get(world, "/v1/models")).json()["data"]]
    assert ids == ["only"]


async def test_an_upstream_without_a_list_falls_back_to_the_usual_models(world: World) -> None:
    await world.change_account("openai-1", base_url="http://127.0.0.1:9")
    ids = [row["id"] for row in (await get(world, "/v1/models")).json()["data"]]
    assert "gpt-5.1" in ids
    await world.change_account("openai-1", status="disabled")
    assert (await get(world, "/v1/models")).json()["data"] == []


@pytest.mark.parametrize("path", ["/v1/usage", "/usage"])
async def test_a_key_can_ask_for_its_own_usage(world: World, path: str) -> None:
    body = {"model": "gpt-5.1", "messages": [{"role": "user", "content": "hi"}]}
    async with httpx.AsyncClient(
        base_url=world.base_url, headers={"x-api-key": world.key}
    ) as client:
        await client.post("/v1/chat/completions", json=body)
        row = (await world.rows(1))[0]
        report = (await client.get(path)).json()
    assert report["isValid"] is True
    assert report["usage"]["today"]["requests"] == 1
    assert report["usage"]["total"]["output_tokens"] == row.output_tokens
    assert report["usage"]["total"]["cost"] == pytest.approx((row.cost or 0) / 1e9)
