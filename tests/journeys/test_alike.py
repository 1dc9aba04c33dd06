"""What the gateway remembers of calls alike never outlives the configuration it came from."""

from __future__ import annotations

from sub2api import wiring
from sub2api.store.price_overrides import PriceOverride, insert
from tests.fakes.raw_client import WHOLE, post, raw_client
from tests.fakes.world import World


async def test_a_call_like_the_last_one_obeys_what_has_changed_since(world: World) -> None:
    asked = post(world.key, WHOLE)
    async with raw_client(world.base_url) as client:

        async def status() -> int:
            return (await client.ask(asked)).status

        assert await status() == await status() == 200
        await world.change_account("anthropic-1", api_key="another")
        assert await status() == 200
        async with world.parts.database.transaction() as connection:
            prices = {"input": 7_000_000, "output": 0}
            await insert(connection, PriceOverride(0, "claude-sonnet-4-5", prices, 0.0))
        await wiring.refresh(world.parts)
        assert await status() == 200
        await world.change_account("anthropic-1", model_mapping={"claude-sonnet-4-5": "other"})
        assert await status() == 200
        await world.change_account("anthropic-1", status="disabled")
        assert await status() == 503
        await world.change_account("anthropic-1", status="active")
        await world.keys.change("tests", {"status": "disabled"})
        await wiring.refresh(world.parts)
        assert await status() == 401
    rows = (await world.rows(5))[::-1]
    assert [row.upstream_model for row in rows] == ["claude-sonnet-4-5"] * 4 + ["other"]
    assert {row.pricing["source"].split()[0] for row in rows[:3]} == {"bundled"}
    assert [row.cost for row in rows[3:]] == [7 * row.input_tokens for row in rows[3:]]
    assert len({row.call_id for row in rows}) == 5
    sent = [each.headers["x-api-key"] for each in world.upstream.requests]
    assert sent == ["anthropic-1"] * 2 + ["another"] * 3


async def test_callers_with_the_same_head_are_told_apart(world: World) -> None:
    async with raw_client(world.base_url) as one, raw_client(world.base_url) as other:
        for client in (one, other, one):
            assert (await client.ask(post(world.key, WHOLE))).status == 200
    rows = await world.rows(3)
    assert len({row.call_id for row in rows}) == 3
    assert len({row.started_at for row in rows}) == 3
